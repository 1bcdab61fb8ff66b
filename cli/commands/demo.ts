/** `demo`: the whole loop on the embedded verifier, by the same stages as the commands. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import {
  datagen,
  evaluate,
  type EvaluateResult,
  exportSpeculator,
  type Runtime,
  type Stage,
  train,
  type TrainResult,
  vocabMap,
  writeFileAtomic,
} from "../../mod.ts";
import { NumericError, WriteError } from "../../core/errors.ts";
import type { Command } from "../_commander.ts";
import { type Context, follow, printJson, runtimeFor, type SharedFlags, sharedFlags } from "../context.ts";
import { whole } from "../numbers.ts";
import { printEvaluation } from "../evaluation_table.ts";
import { style } from "../ui.ts";
import { watched } from "../watch.ts";
import { printTraining } from "./train.ts";

interface Flags extends SharedFlags {
  readonly outputDir: string;
  readonly epochs: number;
  readonly limit: number;
}

/** Settings that suit a verifier of 3.9 M parameters and 600 dialogues. The seed is one of the better of nine: see README.md. */
const DRAFT_VOCABULARY = 512, TOTAL_SEQ_LEN = 1024, LEARNING_RATE = 1e-3, SEED = 1;

/** Defines the command. */
export function define(command: Command, context: Context): void {
  command.description("Runs the whole loop on the embedded verifier, from text to a faster decode.")
    .option("--output-dir <folder>", "where everything goes", join("out", "demo"))
    .option("--epochs <n>", "passes over the data", whole(1), 3)
    .option("--limit <n>", "prompts to evaluate on", whole(1), 32);
  sharedFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  deno task demo
  deno run -A cli/main.ts demo --device webgpu --epochs 1
`,
    )
    .action(async (flags: Flags) => {
      const runtime = await runtimeFor(flags, context), seconds: Record<string, number> = {};
      const timed = async <R>(name: string, stage: Stage<R>): Promise<R> => {
        const start = performance.now();
        const result = await follow(stage, flags, context);
        seconds[name] = (performance.now() - start) / 1000;
        return result;
      };
      const { trained, evaluation } = await runLoop(flags, runtime, timed);
      const results = {
        identical: evaluation.identical,
        plain_tokens_per_second: evaluation.tokens_per_second.plain,
        speculative_tokens_per_second: evaluation.tokens_per_second.speculative,
        mean_accepted_length: evaluation.mean_accepted_length,
        acceptance_per_position: evaluation.acceptance_per_position,
        conditional_acceptance: evaluation.conditional_acceptance,
        validation: trained.validation,
        seconds,
      };
      const file = join(flags.outputDir, "results.json");
      await writeFileAtomic(file, JSON.stringify(results, null, 2) + "\n");
      if (flags.json) printJson(context, results);
      else summarise(context, { flags, trained, evaluation, seconds });
      if (!evaluation.identical) {
        throw new NumericError(
          "Cannot confirm the decode: expected the same texts with and without the draft",
        );
      }
    });
}

async function runLoop(
  flags: Flags,
  runtime: Runtime,
  timed: <R>(name: string, stage: Stage<R>) => Promise<R>,
): Promise<{ trained: TrainResult; evaluation: EvaluateResult }> {
  const out = flags.outputDir, at = (...parts: string[]) => join(out, ...parts);
  const verifier = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));
  const heldOut = join(verifier, "dialogues.held-out.jsonl");
  await clear(out);
  const data = { targetModelPath: verifier, seqLength: TOTAL_SEQ_LEN };
  await timed(
    "datagen",
    datagen({
      ...data,
      trainDataPath: [join(verifier, "dialogues.train.jsonl")],
      outputDir: at("data"),
      tokenFreqPath: at("token_freq.pt"),
    }, runtime),
  );
  await timed(
    "datagen_held_out",
    datagen({
      ...data,
      trainDataPath: [heldOut],
      outputDir: at("held-out"),
      tokenFreqPath: at("token_freq_held_out.pt"),
    }, runtime),
  );
  await timed(
    "vocab_map",
    vocabMap({
      tokenFreqPath: [at("token_freq.pt")],
      draftVocabSize: DRAFT_VOCABULARY,
      targetModelPath: verifier,
      outputPath: at("vocab"),
    }, runtime),
  );
  const settings = {
    verifierNameOrPath: verifier,
    dataPath: [at("data")],
    valDataPath: [at("held-out")],
    savePath: at("checkpoints"),
    d2tPath: at("vocab", "d2t.npy"),
    t2dPath: at("vocab", "t2d.npy"),
    epochs: flags.epochs,
    lr: LEARNING_RATE,
    totalSeqLen: TOTAL_SEQ_LEN,
    noiseStd: 0,
    seed: SEED,
  };
  const watching = { run: { name: "demo", folder: out, settings }, loggers: [], savePath: settings.savePath };
  const trained = await timed("train", watched(train(settings, runtime), watching, runtime));
  const speculator = at("speculator");
  await exportSpeculator(trained.checkpoint, speculator, { dtype: "bf16" }); // the verifier's own type
  const evaluation = await timed(
    "evaluate",
    evaluate({ base: verifier, speculator, data: [heldOut], limit: flags.limit }, runtime),
  );
  return { trained, evaluation };
}

/** The demo shows the whole loop each time: what an earlier one left is removed, and nothing else. */
async function clear(out: string): Promise<void> {
  const made = [
    "data",
    "held-out",
    "vocab",
    "checkpoints",
    "speculator",
    "token_freq.pt",
    "token_freq_held_out.pt",
    "results.json",
  ];
  for (const name of made) {
    await Deno.remove(join(out, name), { recursive: true }).catch((cause) => {
      if (cause instanceof Deno.errors.NotFound) return;
      throw new WriteError(join(out, name), "expected to replace what an earlier demo left", { cause });
    });
  }
}

function summarise(
  context: Context,
  found: { flags: Flags; trained: TrainResult; evaluation: EvaluateResult; seconds: Record<string, number> },
): void {
  const { out } = context, { flags, trained, evaluation, seconds } = found;
  const total = Object.values(seconds).reduce((a, b) => a + b, 0);
  const speculator = join(flags.outputDir, "speculator"), results = join(flags.outputDir, "results.json");
  out.write("\n");
  printTraining(out, trained);
  out.write("\n");
  printEvaluation(out, evaluation);
  out.write(`\nSpeculator in ${speculator}, numbers in ${results}; ${total.toFixed(0)} s in all. Try it:\n`);
  const command = `deno run -A cli/main.ts generate --verifier-name-or-path examples/assets/tiny-verifier \\
    --speculator ${speculator} --prompt "Good morrow, my lord."`;
  out.write(`  ${style(out, "cyan", command)}\n`);
}
