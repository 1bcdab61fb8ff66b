/** The Eagle-3 plugin with the norms of Eagle-3.1 against the Python system: logits, losses, metrics, gradients. */
import assert from "node:assert/strict";
import { toFloat32, toInt32, toUint8 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { Tape } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import * as ops from "../kernels/ops/mod.ts";
import type { Eagle3Config } from "../plugins/eagle3/config.ts";
import { eagle3Tensors, initialiseEagle3 } from "../plugins/eagle3/initialise.ts";
import { eagle3Chain, eagle3Weights, finalNorm } from "../plugins/eagle3/model.ts";
import { eagle3Objective } from "../plugins/eagle3/objective.ts";
import { Unroll } from "../plugins/_shared/unroll.ts";
import { type Device, devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";
import { assertAbout, assertNear, documentsOf, goldenVerifier, uploadTrained } from "./golden_drafts.ts";

const STEPS = 3;

interface Case {
  readonly hidden: number;
  readonly lengths: readonly number[];
  readonly total: number;
  readonly has_gradient: readonly string[];
}

type Metrics = Readonly<Record<string, Readonly<Record<string, number>>>>;

async function batchOf(name: string, { lengths, total, hidden }: Case) {
  using inputs = await openSafetensors(golden("eagle31", name, "inputs.safetensors"));
  const states = toFloat32(await inputs.read("hidden_states"));
  return {
    tokens: toInt32(await inputs.read("input_ids")),
    lossMask: toUint8(await inputs.read("loss_mask")),
    positions: toInt32(await inputs.read("position_ids")),
    documents: documentsOf(lengths, total),
    lengths,
    hidden: states,
    last: toFloat32(await inputs.read("verifier_last_hidden_states")),
    auxWidth: states.length / total,
    width: hidden,
  };
}

async function check(name: string, entry: Case, device: Device): Promise<void> {
  using backend = await device.open();
  const config = goldenJson<Eagle3Config>("eagle31", name, "config.json");
  using checkpoint = await openSafetensors(golden("eagle31", name, "model.safetensors"));
  using verifier = await openSafetensors(golden("eagle31", name, "verifier", "model.safetensors"));
  using expected = await openSafetensors(golden("eagle31", name, "expected.safetensors"));
  const metrics = goldenJson<Metrics>("eagle31", name, "metrics.json");
  const host = await initialiseEagle3(config, {
    seed: 0,
    checkpoint,
    vocabulary: null,
    verifier: goldenVerifier(verifier),
  });
  const tensors = uploadTrained(backend, host, eagle3Tensors(config));
  const batch = await batchOf(name, entry), used = entry.lengths.reduce((a, b) => a + b, 0);

  {
    using _scope = backend.scope();
    const { run } = backend, weights = eagle3Weights(run, config, tensors), found: Tensor[] = [];
    const unroll = new Unroll(run, eagle3Chain(config, weights), batch, { backend, steps: STEPS });
    for (let step = 0; step < STEPS; step++) {
      const ids = Int32Array.from(batch.tokens, (_, i) => batch.tokens[i + step] ?? 0);
      const hidden = unroll.next(backend.from(ids, [ids.length]));
      found.push(ops.linear(run, finalNorm(run, weights, hidden), weights.head));
    }
    for (const [step, logits] of (await backend.readAll(found)).entries()) {
      const want = toFloat32(await expected.read(`logits.${step}`));
      const end = used * (want.length / entry.total); // in padding the Python system attends to nothing
      const part = (values: Float32Array) => values.subarray(0, end);
      assertNear(part(logits as Float32Array), part(want), 1e-5, `logits of step ${step}`);
    }
  }

  const trained = eagle3Tensors(config).filter((info) => info.trained).map((info) => info.name);
  assert.deepEqual(trained.filter((key) => key !== "embed_tokens.weight").sort(), [...entry.has_gradient]);
  for (const [run, want] of Object.entries(metrics)) {
    using _scope = backend.scope();
    const parameters = trained.map((key) => tensors.get(key)!);
    const tape = new Tape(backend, ops).watch(parameters);
    const objective = eagle3Objective(config, {
      tttSteps: STEPS,
      tttStepLossDecay: want["decay"]!,
      useOffPolicyTokens: true,
    });
    const result = objective.loss(tape.run, { backend, tensors, batch, gradients: true });
    const gradients = tape.gradientsIfAny(result.loss, parameters).map((gradient) => gradient!);
    const names = Object.keys(result.outputs);
    const read = await backend.readAll([...Object.values(result.outputs), ...gradients]);
    const got = result.metrics(Object.fromEntries(names.map((key, i) => [key, read[i]!])));
    for (const key of Object.keys(want).filter((key) => key.endsWith("_sum"))) {
      const measure = key.slice(0, -4), value = want[key]! / want[`${measure}_total`]!;
      assertAbout(got[measure], value, 1e-5, `${run}, ${measure}`);
    }
    for (const [i, key] of trained.entries()) {
      const gradient = toFloat32(await expected.read(`${run}.grad.${key}`));
      assertNear(read[names.length + i] as Float32Array, gradient, 1e-4, `${run}, gradient of ${key}`);
    }
  }
}

const { cases } = goldenJson<{ cases: Record<string, Case> }>("eagle31", "index.json");
for (const device of devices()) {
  for (const [name, entry] of Object.entries(cases)) {
    Deno.test({
      name: `eagle3 with the norms of ${name} gives logits, losses and gradients on ${device.name}`,
      ignore: device.skip !== undefined,
      fn: () => check(name, entry, device),
    });
  }
}
