/** Drafts in the `eagle` format against the Python system: features and logits of one causal pass. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { checkConfig } from "../core/config/check.ts";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { eagleSchema } from "../plugins/_shared/eagle1/config.ts";
import { eagleTensors } from "../plugins/_shared/eagle1/initialise.ts";
import { testOnDevices } from "./devices.ts";
import { eagle1Cases, eagle1Config, eagle1Host, eagle1Pass } from "./eagle1_golden.ts";
import { golden, goldenJson } from "./golden.ts";

/** f32 in DRAFTS.md. */
const TOLERANCE = 1e-5;

function assertClose(got: Float32Array, want: Float32Array, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (const [i, x] of want.entries()) {
    assert.ok(Math.abs(got[i]! - x) <= TOLERANCE * largest, `${what} at ${i}: ${got[i]} is not ${x}`);
  }
}

for (const [name, { tokens, parameters }] of eagle1Cases()) {
  testOnDevices(`eagle1 ${name} gives the features and logits of one pass`, async (backend) => {
    using inputs = await openSafetensors(golden("eagle1", name, "inputs.safetensors"));
    using expected = await openSafetensors(golden("eagle1", name, "expected.safetensors"));
    const ids = toInt32(await inputs.read("input_ids"));
    const hidden = toFloat32(await inputs.read("hidden_states"));
    assert.equal(ids.length, tokens);
    const config = await eagle1Config(name), host = await eagle1Host(name);
    const tensors = new Map([...host].map(([key, tensor]) => [key, backend.upload(tensor)]));
    const [features, logits] = await eagle1Pass({ backend, config, tensors }, { ids, hidden });
    assertClose(features, toFloat32(await expected.read("layer_output")), "layer_output");
    assertClose(logits, toFloat32(await expected.read("logits")), "logits");
  });

  Deno.test(`eagle1 ${name} trains and saves the tensors that the Python system does`, async () => {
    const infos = eagleTensors(await eagle1Config(name));
    for (const member of ["trained", "saved"] as const) {
      const found = infos.filter((info) => info[member]).map((info) => info.name);
      assert.deepEqual(found.sort(), [...parameters].sort(), member);
    }
    const host = await eagle1Host(name);
    for (const info of infos) assert.deepEqual(host.get(info.name)!.shape, info.shape, info.name);
  });
}

Deno.test("a converted checkpoint in the eagle format has a config that is read, and its tensors", async () => {
  const { cases } = goldenJson<{ cases: readonly { name: string }[] }>("convert", "cases.json");
  let read = 0;
  for (const { name } of cases) {
    if (!existsSync(golden("convert", name, "expected", "config.json"))) continue;
    const value = goldenJson<Record<string, unknown>>("convert", name, "expected", "config.json");
    if (value["speculators_model_type"] !== "eagle") continue;
    const config = await checkConfig(eagleSchema, value, { where: name });
    using weights = await openSafetensors(golden("convert", name, "expected", "model.safetensors"));
    const saved = eagleTensors(config).filter((info) => info.saved);
    assert.deepEqual(saved.map((info) => info.name).sort(), [...weights.names()].sort(), name);
    for (const info of saved) {
      assert.deepEqual(weights.spec(info.name).shape, info.shape, `${name}, ${info.name}`);
    }
    read++;
  }
  assert.ok(read > 0);
});
