/** What the tests of drafts in the `eagle` format share: the golden cases, and one causal pass. */
import { checkConfig } from "../core/config/check.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { Backend, HostTensor, Tensor } from "../core/tensor.ts";
import { attention, linear } from "../kernels/ops/mod.ts";
import { type EagleConfig, eagleSchema } from "../plugins/_shared/eagle1/config.ts";
import { initialiseEagle } from "../plugins/_shared/eagle1/initialise.ts";
import { eagleChain, eagleWeights, headInput } from "../plugins/_shared/eagle1/model.ts";
import { packedRanges } from "../plugins/_shared/ranges.ts";
import { ropeTables } from "../plugins/_shared/rope.ts";
import { verifierWeights } from "./eagle3_golden.ts";
import { golden, goldenJson } from "./golden.ts";

/** A case of `eagle1/index.json`. */
export interface Eagle1Case {
  readonly tokens: number;
  readonly parameters: readonly string[];
}

/** The cases by name. */
export function eagle1Cases(): [string, Eagle1Case][] {
  return Object.entries(goldenJson<{ cases: Record<string, Eagle1Case> }>("eagle1", "index.json").cases);
}

/** A case's config, checked. */
export async function eagle1Config(name: string): Promise<EagleConfig> {
  const where = golden("eagle1", name, "config.json");
  return await checkConfig(eagleSchema, goldenJson("eagle1", name, "config.json"), { where });
}

/** A case's tensors in plain memory, as the plugin takes them from checkpoint and verifier. */
export async function eagle1Host(name: string): Promise<Map<string, HostTensor>> {
  using checkpoint = await openWeights(golden("eagle1", name));
  using verifier = await openWeights(golden("eagle1", "verifier"));
  const sources = { seed: 0, vocabulary: null, checkpoint, verifier: verifierWeights(verifier) };
  return await initialiseEagle(await eagle1Config(name), sources);
}

/** Features and logits of one causal pass from a position on. */
export async function eagle1Pass(
  draft: {
    readonly backend: Backend;
    readonly config: EagleConfig;
    readonly tensors: ReadonlyMap<string, Tensor>;
  },
  input: { readonly ids: Int32Array; readonly hidden: Float32Array; readonly first?: number },
): Promise<[features: Float32Array, logits: Float32Array]> {
  const { backend, config, tensors } = draft, { ids, hidden, first = 0 } = input;
  const { run } = backend, rows = ids.length, end = first + rows;
  using _scope = backend.scope();
  const weights = eagleWeights(run, config, tensors), chain = eagleChain(config, weights);
  const { heads, kvHeads, headDim, eps } = chain.sizes;
  const { ranges, positions } = packedRanges([rows]), seen = backend.from(ranges, [rows, 2]);
  const features = chain.pass(run, {
    ids: backend.from(ids, [rows]),
    hidden: backend.from(hidden, [rows, hidden.length / rows]),
    context: () => ({
      headDim,
      eps,
      tables: ropeTables(backend, { ...chain.rope, headDim, positions: end, maxPositions: end }),
      positions: backend.from(positions.map((p) => p + first), [rows]),
      attend: (q, k, v) =>
        attention(run, { q, k, v, ranges: seen }, { heads, kvHeads, headDim, scale: headDim ** -0.5 }),
    }),
  });
  const logits = linear(run, headInput(run, weights, features), weights.head);
  return await backend.readAll([features, logits]) as [Float32Array, Float32Array];
}
