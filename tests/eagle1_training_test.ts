/** Eagle v1 and HASS drafts from samples to decoding: losses fall, and the text stays what the verifier writes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createRuntime,
  datagen,
  decode,
  type DecodeOptions,
  finish,
  openSpeculator,
  openVerifier,
  train,
  type VerifierModel,
} from "../mod.ts";

const VERIFIER = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
const DIALOGUES = join(VERIFIER, "dialogues.train.jsonl");
const EPOCHS = 4;

/** A folder that is gone after the test. */
async function inFolder(run: (at: (...parts: string[]) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run((...parts) => join(folder, ...parts));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The tokens written after a prompt, and how many of them were proposed. */
async function written(
  model: VerifierModel,
  prompt: readonly number[],
  options: DecodeOptions,
): Promise<{ tokens: number[]; accepted: number }> {
  const tokens: number[] = [];
  let accepted = 0;
  for await (const round of decode(model, Int32Array.from(prompt), options)) {
    tokens.push(...round.tokens);
    accepted += round.accepted;
  }
  return { tokens, accepted };
}

for (const algorithm of ["eagle", "hass"]) {
  Deno.test(`the draft of ${algorithm} learns from samples made for eagle3, and its text is the verifier's`, async () => {
    await inFolder(async (at) => {
      const runtime = await createRuntime({ device: "wasm" });
      await finish(datagen({
        targetModelPath: VERIFIER,
        trainDataPath: [DIALOGUES],
        outputDir: at("data"),
        tokenFreqPath: at("token_freq.pt"),
        maxSamples: 24,
        seqLength: 64,
      }, runtime));
      const losses: number[] = [], held: number[] = [], seen = new Set<string>();
      const { checkpoint } = await finish(
        train({
          verifierNameOrPath: VERIFIER,
          speculatorType: algorithm,
          dataPath: [at("data")],
          savePath: at("checkpoints"),
          epochs: EPOCHS,
          lr: 2e-3,
          totalSeqLen: 256,
        }, runtime),
        (event) => {
          if (event.type !== "metrics") return;
          for (const name of Object.keys(event.values)) seen.add(`${event.split}/${name}`);
          if (event.split === "train") losses.push(event.values["loss"]!);
          if (event.split === "val") held.push(event.values["loss"]!);
        },
      );
      const half = losses.length / 2, mean = (x: number[]) => x.reduce((a, b) => a + b, 0) / x.length;
      const [early, late] = [mean(losses.slice(0, half)), mean(losses.slice(half))];
      assert.ok(late < 0.9 * early, `losses ${losses}`);
      assert.ok(held.at(-1)! < held[0]!, `held-out losses ${held}`);
      for (const step of [0, 1, 2]) {
        for (const name of ["loss", "full_acc", "cond_acc"]) assert.ok(seen.has(`val/${name}_${step}`), name);
      }
      const { speculators_model_type } = JSON.parse(await Deno.readTextFile(join(checkpoint, "config.json")));
      assert.equal(speculators_model_type, "eagle");

      const { registry, ops } = runtime;
      using verifier = await openVerifier(VERIFIER, { registry });
      using backend = await runtime.openBackend();
      using model = await verifier.load(backend);
      using speculator = await openSpeculator(checkpoint, { registry, verifier, model });
      let taken = 0;
      for (const prompt of [[1, 17, 40, 99, 5, 300], [1, 8, 8, 120], [1, 500, 33]]) {
        const plain = await written(model, prompt, { ops, maxTokens: 24 });
        const guided = await written(model, prompt, { ops, maxTokens: 24, draft: speculator.draft });
        assert.deepEqual(guided.tokens, plain.tokens);
        taken += guided.accepted;
      }
      assert.ok(taken > 0, "none of the draft's tokens were accepted");
    });
  });
}
