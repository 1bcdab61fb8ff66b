/** A draft for each family of verifiers: trained on its own states, it decodes what the verifier alone does. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { toInt32 } from "../core/formats/dtype.ts";
import { writeSample } from "../core/data/store.ts";
import { decode } from "../core/decode/decode.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { VerifierModel } from "../core/plugin.ts";
import { openSpeculator } from "../core/speculator.ts";
import { openVerifier } from "../core/verifier.ts";
import * as ops from "../kernels/ops/mod.ts";
import { createRuntime, finish, train } from "../mod.ts";
import { eagle3 } from "../plugins/eagle3/algorithm.ts";
import { builtins } from "../plugins/mod.ts";
import { verifierCases } from "./verifier_cases.ts";

/** Tokens of a sample, and of a text that is decoded. */
const LENGTH = 40, TOKENS = 24;

const registry = builtins();
const cases = verifierCases();

/** What a verifier says after a token, and its states while it does. */
async function capture(model: VerifierModel, folder: string, first: Int32Array): Promise<void> {
  const { backend, info } = model, layers = eagle3.needs(eagle3.configure(info, {}), info).layers;
  const tokens = Int32Array.from([...first, ...await text(model, first, LENGTH - first.length)]);
  using _scope = backend.scope();
  const { hidden } = model.forward({ tokens, capture: [...layers, info.layers], logits: "none" });
  const states = (await backend.readAll(hidden)).map((values) => ({
    shape: [tokens.length, info.hiddenSize],
    dtype: "f32" as const,
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  }));
  const lossMask = new Uint8Array(tokens.length).fill(1);
  for (let index = 0; index < 6; index++) {
    await writeSample({ inputIds: tokens, lossMask, hidden: states }, index, {
      folder,
      ending: "safetensors",
    });
  }
}

async function text(
  model: VerifierModel,
  prompt: Int32Array,
  maxTokens: number,
  draft?: NonNullable<Parameters<typeof decode>[2]["draft"]>,
): Promise<number[]> {
  const output: number[] = [];
  const options = { ops, maxTokens, eosTokenIds: [], ...draft ? { draft, numSpecTokens: 3 } : {} };
  let accepted = 0;
  for await (const round of decode(model, prompt, options)) {
    output.push(...round.tokens);
    accepted += round.accepted;
  }
  if (draft) assert.ok(accepted > 0, "the draft was never right");
  return output;
}

for (const { name } of registry.list("verifier")) {
  Deno.test(`a draft for ${name} is trained and proposes, and the text stays the verifier's`, async () => {
    const plugin = await registry.get("verifier", name), folder = await Deno.makeTempDir();
    const found = cases.find(({ config }) => plugin.matches(config))!.folder;
    try {
      const runtime = await createRuntime({ device: "wasm" });
      using backend = await runtime.openBackend();
      using opened = await openVerifier(found, { registry });
      using model = await opened.load(backend);
      using inputs = await openWeights(join(found, "inputs.safetensors"));
      const prompt = toInt32(await inputs.read("p0.input_ids")).slice(0, 8);
      await capture(model, join(folder, "data"), prompt);
      const { checkpoint } = await finish(train({
        verifierNameOrPath: found,
        dataPath: [join(folder, "data")],
        savePath: join(folder, "run"),
        epochs: 20,
        lr: 3e-3,
        totalSeqLen: 2 * LENGTH,
        tttSteps: 2,
      }, runtime));
      using speculator = await openSpeculator(checkpoint, { registry, verifier: opened, model });
      const alone = await text(model, prompt, TOKENS);
      assert.deepEqual(await text(model, prompt, TOKENS, speculator.draft), alone);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
