/** Losses by name against the Python system's, and one that a stranger's plugin brings. */
import assert from "node:assert/strict";
import { toFloat32, toUint8 } from "../core/formats/dtype.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import { resolveLoss } from "../core/losses.ts";
import { ConfigError, NotFoundError, PluginError } from "../core/errors.ts";
import type { ObjectiveOptions } from "../core/plugin.ts";
import { Tape } from "../core/tape.ts";
import type { TypedArray } from "../core/tensor.ts";
import * as ops from "../kernels/ops/mod.ts";
import { eagle3Objective } from "../plugins/eagle3/objective.ts";
import { builtins } from "../plugins/mod.ts";
import { rowWeights } from "../plugins/_shared/unroll_metrics.ts";
import { testOnDevices } from "./devices.ts";
import { eagle3Batch, eagle3Cases, eagle3Config, eagle3Host, upload } from "./eagle3_golden.ts";
import { golden, goldenJson } from "./golden.ts";

interface Index {
  readonly specs: readonly string[];
  readonly cases: Readonly<
    Record<string, Readonly<Record<string, { loss: number; terms: Record<string, number> }>>>
  >;
}

function near(got: number, want: number, what: string, relative = 2e-5): void {
  assert.ok(Math.abs(got - want) <= relative * Math.abs(want) + 1e-7, `${what}: ${got} is not ${want}`);
}

testOnDevices("losses and their gradients are the Python system's", async (backend) => {
  const { specs, cases } = goldenJson<Index>("losses", "index.json"), registry = builtins();
  using file = await openSafetensors(golden("losses", "losses.safetensors"));
  for (const [name, found] of Object.entries(cases)) {
    const read = async (key: string) => await file.read(`${name}.${key}`);
    const logits = await read("logits"), targets = await read("targets");
    const [rows, width] = logits.shape as [number, number], lossMask = toUint8(await read("mask"));
    const eye = Float32Array.from(
      { length: width * width },
      (_, i) => i % width === Math.floor(i / width) ? 1 : 0,
    );
    const weights = rowWeights({ lossMask, rows: Int32Array.from({ length: rows }, (_, i) => i) }, {
      step: 0,
      factor: 1,
    });
    for (const [i, spec] of specs.entries()) {
      using _scope = backend.scope();
      const hidden = backend.upload(logits), head = backend.from(eye, [width, width]);
      const terms = await resolveLoss(spec, registry), tape = new Tape(backend, ops).watch([hidden]);
      const result = ops.linearLoss(tape.run, {
        hidden,
        head,
        weights: backend.from(weights, [rows]),
        goal: { states: backend.upload(targets), head },
      }, { terms, gradients: true, blockRows: 2 });
      tape.keep(result.terms);
      const [gradient] = tape.gradients(result.loss, [hidden]);
      const [loss, each, dlogits] = await backend.readAll([result.loss, result.terms, gradient!]);
      const want = found[spec]!, grad = toFloat32(await read(`grad.${i}`));
      near(loss![0]!, want.loss, `${name} ${spec}`);
      terms.forEach(({ name: term, weight }, k) => {
        if (terms.length > 1) {
          near(each![k]! / weight, want.terms[`${term}_loss`]!, `${name} ${spec} ${term}`);
        }
      });
      const largest = grad.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      grad.forEach((x, k) => {
        const off = Math.abs(dlogits![k]! - x);
        assert.ok(off <= 2e-5 * largest, `${name} ${spec} at ${k}: ${dlogits![k]} is not ${x}`);
      });
    }
  }
});

async function lossOf(
  backend: Parameters<Parameters<typeof testOnDevices>[1]>[0],
  loss?: ObjectiveOptions["loss"],
): Promise<Record<string, number>> {
  using _scope = backend.scope();
  const [name, entry] = eagle3Cases()[0]!;
  const config = eagle3Config(name), tensors = upload(backend, config, await eagle3Host(name));
  using frozen = await openSafetensors(golden("eagle3", name, "frozen.safetensors"));
  for (const key of frozen.names()) tensors.set(key, backend.upload(await frozen.read(key)));
  const objective = eagle3Objective(config, {
    tttSteps: 2,
    tttStepLossDecay: 1,
    useOffPolicyTokens: false,
    ...(loss ? { loss } : {}),
  });
  const result = objective.loss(backend.run, {
    backend,
    tensors,
    batch: await eagle3Batch(name, entry),
    gradients: false,
  });
  const data: Record<string, TypedArray> = {};
  for (const [key, tensor] of Object.entries(result.outputs)) data[key] = await backend.read(tensor);
  return result.metrics(data);
}

testOnDevices(
  "a draft trains with the loss it is told, and tells the terms of a sum apart",
  async (backend) => {
    const registry = builtins(), own = await lossOf(backend);
    const kl = await lossOf(backend, await resolveLoss("kl_div", registry));
    assert.deepEqual(kl, own);
    const tv = await lossOf(backend, await resolveLoss("tv", registry));
    assert.ok(tv["loss_0"]! > 0 && tv["loss_0"]! < 1 && tv["loss_0"] !== own["loss_0"]);
    assert.equal(tv["full_acc_0"], own["full_acc_0"]);
    const both = await lossOf(backend, await resolveLoss('{"kl_div": 0.5, "tv": 2}', registry));
    near(both["kl_div_loss_1"]!, own["loss_1"]!, "kl_div_loss_1");
    near(both["tv_loss_1"]!, tv["loss_1"]!, "tv_loss_1");
    near(both["loss"]!, 0.5 * own["loss"]! + 2 * tv["loss"]!, "loss");
  },
);

const STRANGER = `
const rows = {
  name: "brier_rows",
  infer: ([logits]) => [{ shape: [logits.shape[0]], dtype: "f32" }, logits],
  wasm(call, inputs, outputs) {
    const [x, y, w] = inputs.map((tensor) => call.view(tensor)), [loss, dx] = outputs.map((tensor) => call.view(tensor));
    const n = inputs[0].shape[1];
    const softmax = (z) => { const m = Math.max(...z), e = Array.from(z, (v) => Math.exp(v - m)), s = e.reduce((a, b) => a + b, 0); return e.map((v) => v / s); };
    w.forEach((weight, r) => {
      const q = softmax(x.subarray(r * n, r * n + n)), p = softmax(y.subarray(r * n, r * n + n));
      const d = q.map((v, i) => 2 * (v - p[i])), mean = q.reduce((a, v, i) => a + v * d[i], 0);
      loss[r] = weight * q.reduce((a, v, i) => a + (v - p[i]) ** 2, 0);
      q.forEach((v, i) => dx[r * n + i] = weight * v * (d[i] - mean));
    });
  },
};
export default { apiVersion: 1, kind: "loss", name: "brier", summary: "Brier score", load: async () => ({ rows: SHAPE }) };
`;

testOnDevices("a stranger's loss comes with its plugin", async (backend) => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/brier.js`, STRANGER.replace("SHAPE", "rows"));
    const registry = await builtins().import(`${folder}/brier.js`);
    assert.ok(registry.list("loss").some(({ name }) => name === "brier"));
    const terms = await resolveLoss("brier", registry);
    if (backend.name === "webgpu") return await assert.rejects(lossOf(backend, terms), /brier_rows/);
    const found = await lossOf(backend, terms);
    assert.ok(found["loss_0"]! > 0 && found["loss_0"]! < 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a loss plugin without rows is refused when it is loaded", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/brier.js`, STRANGER.replace("SHAPE", "undefined"));
    const registry = await builtins().import(`${folder}/brier.js`);
    await assert.rejects(
      resolveLoss("brier", registry),
      (error) => error instanceof PluginError && /"rows"/.test(error.message),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a loss that is none is refused by name", async () => {
  const registry = builtins();
  await assert.rejects(resolveLoss("tvv", registry), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /"tvv".*loss plugin.*kl_div.*tv/);
    return true;
  });
  for (
    const [spec, found] of [
      ['{"tv": "much"}', /weight of "tv", received "much"/],
      ['{"tv": 1', /JSON/],
      ["{}", /1 to 16 losses, received 0/],
    ] as const
  ) {
    await assert.rejects(resolveLoss(spec, registry), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, found);
      return true;
    });
  }
});
