/** Drafts in the `eagle` format against the Python system: features and logits of one causal pass. */
import assert from "node:assert/strict";
import { checkConfig } from "../core/config/check.ts";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { Backend } from "../core/tensor.ts";
import { attention, linear } from "../kernels/ops/mod.ts";
import { packedRanges } from "../plugins/_shared/ranges.ts";
import { ropeTables } from "../plugins/_shared/rope.ts";
import { eagleSchema } from "../plugins/_shared/eagle1/config.ts";
import { eagleTensors, initialiseEagle } from "../plugins/_shared/eagle1/initialise.ts";
import { eagleChain, eagleWeights, headInput } from "../plugins/_shared/eagle1/model.ts";
import { testOnDevices } from "./devices.ts";
import { verifierWeights } from "./eagle3_golden.ts";
import { golden, goldenJson } from "./golden.ts";

interface Case {
  readonly tokens: number;
  readonly parameters: readonly string[];
}

const cases = goldenJson<{ cases: Record<string, Case> }>("eagle1", "index.json").cases;
/** f32 in DRAFTS.md. */
const TOLERANCE = 1e-5;

async function caseConfig(name: string) {
  const where = golden("eagle1", name, "config.json");
  return await checkConfig(eagleSchema, goldenJson("eagle1", name, "config.json"), { where });
}

async function caseHost(name: string) {
  using checkpoint = await openWeights(golden("eagle1", name));
  using verifier = await openWeights(golden("eagle1", "verifier"));
  const sources = { seed: 0, vocabulary: null, checkpoint, verifier: verifierWeights(verifier) };
  return await initialiseEagle(await caseConfig(name), sources);
}

/** Features and logits of one causal pass from position 0. */
async function forward(
  backend: Backend,
  name: string,
  { ids, hidden }: { readonly ids: Int32Array; readonly hidden: Float32Array },
): Promise<[features: Float32Array, logits: Float32Array]> {
  const config = await caseConfig(name), { run } = backend, rows = ids.length;
  using _scope = backend.scope();
  const tensors = new Map([...await caseHost(name)].map(([key, tensor]) => [key, backend.upload(tensor)]));
  const weights = eagleWeights(run, config, tensors), draft = eagleChain(config, weights);
  const { heads, kvHeads, headDim, eps } = draft.sizes;
  const { ranges, positions } = packedRanges([rows]), seen = backend.from(ranges, [rows, 2]);
  const features = draft.pass(run, {
    ids: backend.from(ids, [rows]),
    hidden: backend.from(hidden, [rows, hidden.length / rows]),
    context: () => ({
      headDim,
      eps,
      tables: ropeTables(backend, { ...draft.rope, headDim, positions: rows, maxPositions: rows }),
      positions: backend.from(positions, [rows]),
      attend: (q, k, v) =>
        attention(run, { q, k, v, ranges: seen }, { heads, kvHeads, headDim, scale: headDim ** -0.5 }),
    }),
  });
  const logits = linear(run, headInput(run, weights, features), weights.head);
  return await backend.readAll([features, logits]) as [Float32Array, Float32Array];
}

function assertClose(got: Float32Array, want: Float32Array, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (const [i, x] of want.entries()) {
    assert.ok(Math.abs(got[i]! - x) <= TOLERANCE * largest, `${what} at ${i}: ${got[i]} is not ${x}`);
  }
}

for (const [name, { tokens, parameters }] of Object.entries(cases)) {
  testOnDevices(`eagle1 ${name} gives the features and logits of one pass`, async (backend) => {
    using inputs = await openSafetensors(golden("eagle1", name, "inputs.safetensors"));
    using expected = await openSafetensors(golden("eagle1", name, "expected.safetensors"));
    const ids = toInt32(await inputs.read("input_ids"));
    const hidden = toFloat32(await inputs.read("hidden_states"));
    assert.equal(ids.length, tokens);
    const [features, logits] = await forward(backend, name, { ids, hidden });
    assertClose(features, toFloat32(await expected.read("layer_output")), "layer_output");
    assertClose(logits, toFloat32(await expected.read("logits")), "logits");
  });

  Deno.test(`eagle1 ${name} trains and saves the tensors that the Python system does`, async () => {
    const infos = eagleTensors(await caseConfig(name));
    for (const member of ["trained", "saved"] as const) {
      const found = infos.filter((info) => info[member]).map((info) => info.name);
      assert.deepEqual(found.sort(), [...parameters].sort(), member);
    }
    const host = await caseHost(name);
    for (const info of infos) assert.deepEqual(host.get(info.name)!.shape, info.shape, info.name);
  });
}
