/** The training of the reference draft: time and device memory beside the Python system's recorded figures. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Backend,
  byteLength,
  createRuntime,
  datagen,
  finish,
  readJson,
  type Run,
  train,
  vocabMap,
} from "../../mod.ts";
import { goldenJson } from "../golden.ts";
import { type Row, row } from "./row.ts";

interface Reference {
  readonly lr: number;
  readonly epochs: number;
  readonly ttt_steps: number;
  readonly total_seq_len: number;
  readonly draft_vocab: number;
  readonly seconds_2_cores: number;
  readonly held_out_per_epoch: readonly Readonly<Record<string, number>>[];
}

const verifier = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

/** That of the demo. Seeds differ by some hundredths at the last step: README.md has the spread. */
const SEED = 1;

/** A backend that notes the largest tensor an op gives. */
function watched(backend: Backend, seen: { largest: number }): Backend {
  const { run } = backend;
  const noting: Run = (op, inputs, attrs) => {
    const outputs = run(op, inputs, attrs);
    for (const tensor of outputs) seen.largest = Math.max(seen.largest, byteLength(tensor));
    return outputs;
  };
  Object.defineProperty(backend, "run", { value: noting }); // composed ops run their parts through it too
  return backend;
}

/** Trains as the reference was trained, on WASM. */
export async function trainRows(): Promise<Row[]> {
  const reference = goldenJson<Reference>("generate", "training.json"), folder = await Deno.makeTempDir();
  const runtime = await createRuntime({ device: "wasm" }),
    seen = { largest: 0 },
    at = (...parts: string[]) => join(folder, ...parts);
  const config = await readJson(join(verifier, "config.json")) as { vocab_size: number };
  try {
    const make = (name: string, file: string) =>
      finish(datagen({
        targetModelPath: verifier,
        trainDataPath: [join(verifier, file)],
        outputDir: at(name),
        tokenFreqPath: at(`${name}.pt`),
        seqLength: reference.total_seq_len,
      }, runtime));
    await make("train", "dialogues.train.jsonl");
    await make("held-out", "dialogues.held-out.jsonl");
    await finish(vocabMap({
      tokenFreqPath: [at("train.pt")],
      draftVocabSize: reference.draft_vocab,
      targetModelPath: verifier,
      outputPath: at("vocab"),
    }, runtime));
    const found = await finish(train({
      verifierNameOrPath: verifier,
      dataPath: [at("train")],
      valDataPath: [at("held-out")],
      savePath: at("checkpoints"),
      d2tPath: at("vocab", "d2t.npy"),
      t2dPath: at("vocab", "t2d.npy"),
      epochs: reference.epochs,
      lr: reference.lr,
      totalSeqLen: reference.total_seq_len,
      tttSteps: reference.ttt_steps,
      noiseStd: 0,
      seed: SEED,
    }, { ...runtime, openBackend: async () => watched(await runtime.openBackend(), seen) }));
    const last = reference.held_out_per_epoch.at(-1)!, against = "upstream, recorded on 2 cores";
    const { total_seq_len: rows, ttt_steps: steps } = reference, { vocab_size: vocabulary } = config;
    const logits = 4 * rows * vocabulary / 2 ** 20, mask = 4 * rows * rows * steps / 2 ** 20;
    const peak = found.peakBytes / 2 ** 20;
    return [
      row("training the tiny draft, wasm", {
        ours: found.seconds,
        peer: reference.seconds_2_cores,
        unit: "s",
        against,
        less: true,
      }),
      ...Array.from(
        { length: reference.ttt_steps },
        (_, i) =>
          row(`held-out accuracy, step ${i}, seed ${SEED}`, {
            ours: found.validation![`full_acc_${i}`]!,
            peer: last[`full_acc_${i}`]!,
            unit: "share",
            against,
          }),
      ),
      row("largest tensor of a training step", {
        ours: seen.largest / 2 ** 20,
        peer: Math.min(logits, mask),
        unit: "MiB",
        against: "the smaller of [T, verifier's vocabulary] and [T, 3 T]",
        less: true,
      }),
      row("peak memory of a training step", {
        ours: peak,
        peer: peak + logits + mask,
        unit: "MiB",
        against: "computed: the same with both of these alive",
        less: true,
      }),
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
