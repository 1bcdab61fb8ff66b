/** Draft algorithms side by side on the tiny verifier: the same samples, epochs and prompts for all of them. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createRuntime,
  datagen,
  evaluate,
  finish,
  openSpeculator,
  openVerifier,
  type Runtime,
  train,
  type TrainOptions,
  vocabMap,
  writeSpeculatorConfig,
} from "../../mod.ts";
import { copyModel } from "../cli.ts";
import { median, type Row, row } from "./row.ts";

const verifier = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

/** What is compared. Eagle-3 comes first: the others stand beside it. */
const DRAFTS: readonly (readonly [name: string, options: Pick<TrainOptions, "speculatorType" | "draft">])[] =
  [
    ["Eagle-3", { speculatorType: "eagle3" }],
    ["Eagle-3.1", { speculatorType: "eagle3", draft: { extra: { fc_norm: true, norm_output: true } } }],
    ["DFlash", { speculatorType: "dflash" }],
    ["MTP", { speculatorType: "mtp" }],
  ];

/** Drafts of the verifier's own vocabulary take no map of another. */
const WHOLE: readonly string[] = ["mtp"];

/** Rounds that a proposer is timed over, and new rows in each. */
const ROUNDS = 40, ROWS = 3;

/** Learning rate of all; 3 epochs over 600 samples. */
const LR = 4e-3, EPOCHS = 3;

/** Trains each draft, evaluates it, and times what a proposed token costs. */
export async function draftRows(): Promise<Row[]> {
  const folder = await Deno.makeTempDir(), at = (...parts: string[]) => join(folder, ...parts);
  const runtime = await createRuntime({ device: "wasm" });
  try {
    await makeData(runtime, at);
    const found = [];
    for (const [name, options] of DRAFTS) {
      const mapped = !WHOLE.includes(options.speculatorType!);
      const trained = await finish(train({
        ...options,
        verifierNameOrPath: verifier,
        dataPath: [at("train")],
        valDataPath: [at("held-out")],
        savePath: at(name),
        ...(mapped ? { d2tPath: at("vocab", "d2t.npy"), t2dPath: at("vocab", "t2d.npy") } : {}),
        epochs: EPOCHS,
        lr: LR,
        totalSeqLen: 1024,
        noiseStd: 0,
        seed: 1,
      }, runtime));
      const evaluation = await finish(evaluate({
        base: verifier,
        speculator: trained.checkpoint,
        data: [`${verifier}/dialogues.held-out.jsonl`],
        limit: 32,
      }, runtime));
      if (!evaluation.identical) throw new Error(`The texts with and without ${name} differ`);
      found.push({ name, trained, evaluation });
    }
    const first = found[0]!, against = first.name;
    const costs = await costsOf(runtime, found.map(({ trained }) => trained.checkpoint));
    const rows = found.flatMap(({ name, trained, evaluation }, i) => [
      row(`${name}: mean accepted length`, {
        ours: evaluation.mean_accepted_length,
        peer: first.evaluation.mean_accepted_length,
        unit: "tokens",
        against,
      }),
      row(`${name}: speculative decode`, {
        ours: evaluation.tokens_per_second.speculative,
        peer: evaluation.tokens_per_second.plain,
        unit: "tokens/s",
        against: "plain decode",
      }),
      row(`${name}: training`, {
        ours: trained.seconds,
        peer: first.trained.seconds,
        unit: "s",
        against,
        less: true,
      }),
      row(`${name}: drafting, a proposed token`, {
        ours: costs[i]!,
        peer: costs[0]!,
        unit: "ms",
        against,
        less: true,
      }),
    ]);
    return [...rows, ...await ngramRows(at)];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * The n-gram draft, which is not trained: on the prompts of the others, and where the text goes round and round, as that of
 * a verifier does which ends none.
 */
async function ngramRows(at: (...parts: string[]) => string): Promise<Row[]> {
  const plugin = new URL("../../examples/ngram-plugin/mod.ts", import.meta.url).href;
  const runtime = await createRuntime({ device: "wasm", plugins: [plugin] });
  const endless = await copyModel(verifier, at("endless"), (config) => ({ ...config, eos_token_id: null }));
  await Deno.writeTextFile(at("endless", "generation_config.json"), "{}");
  const { configure } = await (await runtime.registry.get("draft", "ngram")).load();
  using opened = await openVerifier(verifier, runtime);
  await Deno.mkdir(at("ngram"));
  await writeSpeculatorConfig(at("ngram"), configure(opened.info, {}));
  const rows: Row[] = [];
  for (
    const [name, base, limits] of [
      ["n-gram", verifier, { limit: 32 }],
      ["n-gram, repetitive text", endless, { limit: 8, maxTokens: 400 }],
    ] as const
  ) {
    const data = [`${verifier}/dialogues.held-out.jsonl`];
    const found = await finish(evaluate({ base, speculator: at("ngram"), data, ...limits }, runtime));
    if (!found.identical) throw new Error(`The texts with and without ${name} differ`);
    const { plain, speculative } = found.tokens_per_second, tokens = found.outputs.flat().length;
    rows.push(
      row(`${name}: passes of the verifier`, {
        ours: tokens - found.accepted, // each gives a token of its own beside those it accepts
        peer: tokens,
        unit: "passes",
        against: "plain decode",
        less: true,
      }),
      row(`${name}: speculative decode`, {
        ours: speculative,
        peer: plain,
        unit: "tokens/s",
        against: "plain decode",
      }),
    );
  }
  return rows;
}

/** Samples to train and to validate on, and a draft vocabulary. */
async function makeData(runtime: Runtime, at: (...parts: string[]) => string): Promise<void> {
  for (const name of ["train", "held-out"]) {
    await finish(datagen({
      targetModelPath: verifier,
      trainDataPath: [join(verifier, `dialogues.${name}.jsonl`)],
      outputDir: at(name),
      tokenFreqPath: at(`${name}.pt`),
      seqLength: 1024,
    }, runtime));
  }
  await finish(vocabMap({
    tokenFreqPath: [at("train.pt")],
    draftVocabSize: 512,
    targetModelPath: verifier,
    outputPath: at("vocab"),
  }, runtime));
}

/** Milliseconds of drafting by proposed token, the drafts in turn in every repetition. */
async function costsOf(runtime: Runtime, checkpoints: readonly string[]): Promise<number[]> {
  using opened = await openVerifier(verifier, runtime);
  using backend = await runtime.openBackend();
  using model = await opened.load(backend);
  const times: number[][] = checkpoints.map(() => []);
  const tokens = Int32Array.from({ length: ROUNDS * ROWS + 1 }, (_, i) => 300 + (37 * i) % 500);
  for (let repetition = 0; repetition < 5; repetition++) {
    for (const [i, checkpoint] of checkpoints.entries()) {
      using speculator = await openSpeculator(checkpoint, {
        verifier: opened,
        model,
        registry: runtime.registry,
      });
      using session = speculator.draft.proposer.start(tokens.length + 32);
      using _scope = backend.scope();
      const { hidden } = model.forward({ tokens, capture: speculator.draft.layers, logits: "none" });
      const states = await backend.readAll(hidden);
      let proposed = 0, spent = 0;
      for (let start = 0; start + ROWS < tokens.length; start += ROWS) {
        using _round = backend.scope();
        const width = model.info.hiddenSize, end = start + ROWS;
        const rows = states.map((all) =>
          backend.from((all as Float32Array).slice(start * width, end * width), [ROWS, width])
        );
        const began = performance.now();
        const proposal = session.propose({
          history: tokens.slice(0, end + 1),
          position: start,
          hidden: rows,
          count: speculator.numSpecTokens,
        });
        proposed += (await backend.read(proposal.tokens)).length;
        if (start > 0) spent += performance.now() - began; // the first round warms up
        else proposed = 0;
      }
      times[i]!.push(spent / proposed);
    }
  }
  return times.map(median);
}
