/** The MTP plugin against the Python system: logits, losses, gradients, and conversion of a verifier's own layer. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { toFloat32 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { Tape } from "../core/tape.ts";
import type { Backend, Tensor } from "../core/tensor.ts";
import * as ops from "../kernels/ops/mod.ts";
import { convert, createRuntime, finish } from "../mod.ts";
import type { MtpConfig } from "../plugins/mtp/config.ts";
import { initialiseMtp, mtpTensors } from "../plugins/mtp/initialise.ts";
import { mtpChain, mtpWeights } from "../plugins/mtp/model.ts";
import { mtpObjective, stepContext } from "../plugins/mtp/objective.ts";
import { devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";
import {
  assertAbout,
  assertNear,
  goldenInputs,
  goldenVerifier,
  shifted,
  shiftedRow,
  uploadTrained,
} from "./golden_drafts.ts";

interface Case {
  readonly steps: number;
  readonly beta: number;
  readonly hidden: number;
  readonly lengths: readonly number[];
  readonly rows: number;
  readonly has_gradient: readonly string[];
}

const { cases, conversions } = goldenJson<{
  cases: Record<string, Case>;
  conversions: Record<string, { model_type: string }>;
}>("mtp", "index.json");

async function check(name: string, entry: Case, backend: Backend): Promise<void> {
  const config = goldenJson<MtpConfig>("mtp", name, "config.json");
  const want = goldenJson<Record<string, number>>("mtp", name, "metrics.json");
  using checkpoint = await openSafetensors(golden("mtp", name, "model.safetensors"));
  using verifier = await openSafetensors(golden("mtp", name, "verifier", "model.safetensors"));
  using expected = await openSafetensors(golden("mtp", name, "expected.safetensors"));
  const sources = { seed: 0, checkpoint, vocabulary: null, verifier: goldenVerifier(verifier) };
  const tensors = uploadTrained(backend, await initialiseMtp(config, sources), mtpTensors(config));
  const batch = shifted(await goldenInputs(["mtp", name], entry)), length = batch.tokens.length;

  const { run } = backend, w = mtpWeights(run, config, tensors), chain = mtpChain(config, w);
  const context = stepContext(config, { backend, batch })(run), found: Tensor[] = [];
  let hidden = chain.enter(run, backend.from(batch.hidden, [length, batch.auxWidth]));
  for (let step = 0; step < entry.steps; step++) {
    const fed = Int32Array.from(batch.tokens, (_, row) => batch.tokens[row + step] ?? 0);
    hidden = chain.pass(run, { ids: backend.from(fed, [length]), hidden, context: () => context });
    found.push(ops.linear(run, hidden, w.head));
  }
  // Rows whose text goes on long enough: what the others are fed is of the next text there, and of none here.
  const ends = entry.lengths.map((_, i) => entry.lengths.slice(0, i + 1).reduce((a, b) => a + b, 0));
  for (const [step, values] of (await backend.readAll(found)).entries()) {
    const all = toFloat32(await expected.read(`logits.${step}`)), width = all.length / entry.rows;
    const rows = Array.from({ length: entry.rows }, (_, row) => row)
      .filter((row) => ends.some((end, i) => row < end - step - 1 && row >= end - entry.lengths[i]!));
    const pick = (from: Float32Array, of: (row: number) => number) =>
      Float32Array.from(
        rows.flatMap((row) => Array.from(from.subarray(of(row) * width, (of(row) + 1) * width))),
      );
    const ours = (row: number) => shiftedRow(entry.lengths, row + 1);
    assertNear(pick(values as Float32Array, ours), pick(all, (row) => row), 1e-5, `logits of step ${step}`);
  }

  const trained = mtpTensors(config).filter((info) => info.trained).map((info) => info.name);
  assert.deepEqual([...trained].sort(), [...entry.has_gradient]);
  const parameters = trained.map((key) => tensors.get(key)!);
  const tape = new Tape(backend, ops).watch(parameters);
  const options = { tttSteps: 1, tttStepLossDecay: 1, useOffPolicyTokens: false };
  const objective = mtpObjective(config, { ...options, extra: { step_weight_beta: entry.beta } });
  const result = objective.loss(tape.run, { backend, tensors, batch, gradients: true });
  const gradients = tape.gradientsIfAny(result.loss, parameters).map((gradient) => gradient!);
  const names = Object.keys(result.outputs);
  const read = await backend.readAll([...Object.values(result.outputs), ...gradients]);
  const got = result.metrics(Object.fromEntries(names.map((key, i) => [key, read[i]!])));
  assertAbout(got["loss"], want["loss_sum"]!, 1e-5, "loss");
  for (let step = 0; step < entry.steps; step++) {
    assertAbout(got[`loss_${step}`], want[`loss_step_${step}`]!, 1e-5, `loss of step ${step}`);
  }
  for (const [i, key] of trained.entries()) {
    const gradient = toFloat32(await expected.read(`grad.${key}`));
    assertNear(read[names.length + i] as Float32Array, gradient, 1e-4, `gradient of ${key}`);
  }
}

for (const device of devices()) {
  for (const [name, entry] of Object.entries(cases)) {
    Deno.test({
      name: `mtp ${name} gives logits, losses and gradients on ${device.name}`,
      ignore: device.skip !== undefined,
      fn: async () => {
        using backend = await device.open();
        using _scope = backend.scope();
        await check(name, entry, backend);
      },
    });
  }
}

for (const [name, { model_type }] of Object.entries(conversions)) {
  Deno.test(`the layer that a ${model_type} verifier brings along becomes what the Python system makes of it`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const source = golden("mtp", name, "source"), output = join(folder, "out");
      const runtime = await createRuntime({ device: "wasm" });
      await finish(
        convert({ algorithm: "mtp", model: source, verifier: source, outputPath: output }, runtime),
      );
      using got = await openSafetensors(join(output, "model.safetensors"));
      using want = await openSafetensors(golden("mtp", name, "converted", "model.safetensors"));
      // The Python system leaves a head of NaN beside the layer.
      const names = want.names().filter((key) => key !== "verifier_lm_head.weight").sort();
      assert.deepEqual([...got.names()].sort(), names);
      for (const key of names) assert.deepEqual(await got.read(key), await want.read(key), key);
      const ours = JSON.parse(await Deno.readTextFile(join(output, "config.json")));
      const theirs = goldenJson<Record<string, unknown>>("mtp", name, "converted", "config.json");
      for (const key of ["architectures", "dtype", "num_nextn_predict_layers", "speculators_model_type"]) {
        assert.deepEqual(ours[key], theirs[key], key);
      }
      const { architectures: _, ...layer } = theirs["transformer_layer_config"] as Record<string, unknown>;
      for (const [key, value] of Object.entries(layer)) {
        assert.deepEqual(ours.transformer_layer_config[key], value, key);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
