/** Several texts at once, chains and trees, on the tiny verifier with the draft that the Python system trained. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { PythonRandom } from "../core/data/random.ts";
import { decode } from "../core/decode/decode.ts";
import { Scheduler } from "../core/decode/scheduler.ts";
import { type OpenSpeculator, openSpeculator } from "../core/speculator.ts";
import type { VerifierModel } from "../core/plugin.ts";
import { openVerifier } from "../core/verifier.ts";
import * as ops from "../kernels/ops/mod.ts";
import { open } from "../kernels/mod.ts";
import { builtins } from "../plugins/mod.ts";
import { testOnDevices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";
import type { Backend } from "../core/tensor.ts";

const folder = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
const { prompts } = goldenJson<{ prompts: { prompt_ids: number[] }[] }>("generate", "decode.json");
const TEXTS = 4;

/** Opens the verifier, and its draft for chains or trees. */
async function opened(
  backend: Backend,
  run: (
    model: VerifierModel,
    draft: (tree?: { topK: number; depth: number }) => Promise<OpenSpeculator>,
  ) => Promise<void>,
): Promise<void> {
  const registry = builtins();
  using verifier = await openVerifier(folder, { registry });
  using model = await verifier.load(backend);
  const draft = (tree?: { topK: number; depth: number }) =>
    openSpeculator(golden("generate", "draft"), {
      registry,
      verifier,
      model,
      ...(tree ? { proposing: { tree } } : {}),
    });
  await run(model, draft);
}

/** What is asked for text i: every other one is drawn. */
function request(i: number, maxTokens: number) {
  const random = new PythonRandom(i);
  const sampling = { temperature: i % 2, topP: 0.95 };
  return {
    prompt: Int32Array.from(prompts[i]!.prompt_ids),
    maxTokens,
    sampling,
    uniform: () => random.float(),
  };
}

testOnDevices(
  "texts written together, by chains and by trees, are those of the verifier alone",
  async (backend) => {
    await opened(backend, async (model, draft) => {
      const maxTokens = backend.name === "wasm" ? 48 : 12, alone: number[][] = [];
      for (let i = 0; i < TEXTS; i++) {
        const { prompt, ...options } = request(i, maxTokens), tokens: number[] = [];
        for await (const round of decode(model, prompt, { ...options, ops })) tokens.push(...round.tokens);
        alone.push(tokens);
      }
      const lengths: number[] = [];
      for (const [tree, numSpecTokens] of [[undefined, 3], [{ topK: 4, depth: 3 }, 24]] as const) {
        using speculator = await draft(tree);
        await using scheduler = new Scheduler(model, {
          ops,
          draft: speculator.draft,
          numSpecTokens,
          maxSequences: 3,
        });
        const together = await Promise.all(alone.map(async (_, i) => {
          const tokens: number[] = [];
          for await (const round of scheduler.submit(request(i, maxTokens))) tokens.push(...round.tokens);
          return tokens;
        }));
        assert.deepEqual(together, alone);
        lengths.push(scheduler.stats().acceptance.mean_accepted_length);
      }
      assert.ok(
        lengths[1]! > 1.05 * lengths[0]!,
        `accepted lengths ${lengths.join(", ")} by chains and trees`,
      );
    });
  },
);

Deno.test("on the CPU a tree's row is, bit for bit, what it is on its path alone", async () => {
  using backend = await open("wasm");
  await opened(backend, async (model) => {
    const start = Int32Array.from({ length: 62 }, (_, i) => 5 + i * 7 % 90), { vocabSize } = model.info;
    const parents = [-1, 0, 0, 1, 2, 2, 4, 4, 6], nodes = Int32Array.from(parents, (_, i) => 9 + 3 * i);
    using whole = model.cache(80), single = model.cache(80);
    using _scope = backend.scope();
    for (const cache of [whole, single]) model.forward({ tokens: start, cache, logits: "none" });
    const tree = await backend.read(model.forward({ tokens: nodes, cache: whole, parents }).logits!);
    for (const path of [[0, 1, 3], [0, 2, 4, 6, 8], [0, 2, 4, 7], [0, 2, 5]]) {
      for (const row of path) {
        const tokens = nodes.slice(row, row + 1);
        const alone = await backend.read(model.forward({ tokens, cache: single }).logits!);
        assert.deepEqual(tree.slice(row * vocabSize, (row + 1) * vocabSize), alone);
      }
      single.truncate(start.length);
    }
  });
});
