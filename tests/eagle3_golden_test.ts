/** The Eagle-3 plugin against the Python system: logits, tokens, losses, metrics, gradients, optimiser steps. */
import assert from "node:assert/strict";
import type { PackedBatch } from "../core/data/batch.ts";
import { convert, toFloat32, toInt32, toUint8 } from "../core/formats/dtype.ts";
import { openSafetensors, type SafetensorsFile } from "../core/formats/safetensors.ts";
import { adamw } from "../core/optim.ts";
import { schedule } from "../core/schedule.ts";
import { Tape } from "../core/tape.ts";
import type { Backend, Tensor } from "../core/tensor.ts";
import * as ops from "../kernels/ops/mod.ts";
import { eagle3Tensors } from "../plugins/eagle3/initialise.ts";
import { eagle3Objective } from "../plugins/eagle3/objective.ts";
import { Unroll, unrollRanges } from "../plugins/_shared/unroll.ts";
import { eagle3Chain, eagle3Weights, finalNorm } from "../plugins/eagle3/model.ts";
import { verifierIds } from "../plugins/_shared/verifier_ids.ts";
import {
  eagle3Batch,
  type Eagle3Case,
  eagle3Cases,
  eagle3Config,
  eagle3Host,
  upload,
} from "./eagle3_golden.ts";
import { type Device, devices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

const STEPS = 3;
/** A draft token whose two largest logits are closer than this may be another one. */
const MARGIN = 1e-4;

interface Run {
  readonly decay: number;
  readonly off_policy: boolean;
  readonly [metric: string]: number | boolean;
}

/** Everything a test of one case needs. */
interface Opened extends Disposable {
  readonly backend: Backend;
  readonly config: ReturnType<typeof eagle3Config>;
  readonly tensors: Map<string, Tensor>;
  readonly batch: PackedBatch;
  readonly expected: SafetensorsFile;
}

async function openCase(name: string, entry: Eagle3Case, device: Device): Promise<Opened> {
  using stack = new DisposableStack();
  const backend = stack.use(await device.open());
  const config = eagle3Config(name);
  const tensors = upload(backend, config, await eagle3Host(name));
  // The Python system held these in the case's own dtype.
  using frozen = await openSafetensors(golden("eagle3", name, "frozen.safetensors"));
  for (const key of frozen.names()) tensors.set(key, backend.upload(await frozen.read(key)));
  const expected = stack.use(await openSafetensors(golden("eagle3", name, "expected.safetensors")));
  const batch = await eagle3Batch(name, entry);
  const owned = stack.move();
  return { backend, config, tensors, batch, expected, [Symbol.dispose]: () => owned.dispose() };
}

function distances(got: Float32Array, want: Float32Array): { worst: number; largest: number } {
  assert.equal(got.length, want.length);
  let worst = 0, largest = 0;
  want.forEach((x, i) => {
    largest = Math.max(largest, Math.abs(x));
    const distance = Math.abs(got[i]! - x);
    worst = distance <= worst ? worst : distance; // a NaN wins
  });
  return { worst, largest };
}

function assertClose(got: Float32Array, want: Float32Array, bound: number, what: string): void {
  const { worst, largest } = distances(got, want);
  assert.ok(worst <= bound * largest, `${what}: ${worst} is more than ${bound} of ${largest}`);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let dot = 0, aa = 0, bb = 0;
  a.forEach((x, i) => {
    dot += x * b[i]!;
    aa += x * x;
    bb += b[i]! * b[i]!;
  });
  return dot / Math.sqrt(aa * bb);
}

function norm(a: Float32Array, b?: Float32Array): number {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b?.[i] ?? 0)) ** 2, 0));
}

/** Logits and draft ids of every row at each step. */
async function forward(
  { backend, config, tensors, batch }: Opened,
  offPolicy: boolean,
): Promise<{ logits: Float32Array; drafts: Int32Array }[]> {
  using _scope = backend.scope();
  const { run } = backend, weights = eagle3Weights(run, config, tensors), rows = batch.tokens.length;
  const unroll = new Unroll(run, eagle3Chain(config, weights), batch, { backend, steps: STEPS });
  let ids = backend.from(batch.tokens, [rows]);
  const found: Tensor[] = [];
  for (let step = 0; step < STEPS; step++) {
    const logits = ops.linear(run, finalNorm(run, weights, unroll.next(ids)), weights.head);
    const drafts = ops.argmax(run, logits);
    found.push(logits, drafts);
    const shifted = Int32Array.from(batch.tokens, (_, i) => batch.tokens[i + step + 1] ?? 0);
    ids = offPolicy ? backend.from(shifted, [rows]) : verifierIds(run, drafts, weights.d2t);
  }
  const read = await backend.readAll(found);
  return Array.from({ length: STEPS }, (_, step) => ({
    logits: read[2 * step] as Float32Array,
    drafts: read[2 * step + 1] as Int32Array,
  }));
}

/** How far apart the two largest entries of each row are. */
function margins(logits: Float32Array, rows: number): Float32Array {
  const width = logits.length / rows;
  return Float32Array.from({ length: rows }, (_, row) => {
    const [first, second] = logits.slice(row * width, (row + 1) * width).sort().slice(-2).reverse();
    return first! - second!;
  });
}

async function checkForward(opened: Opened, run: string, offPolicy: boolean): Promise<void> {
  const { expected, batch } = opened, rows = batch.tokens.length;
  const excused = new Set<number>();
  for (const [step, { logits, drafts }] of (await forward(opened, offPolicy)).entries()) {
    const stored = expected.has(`${run}.logits.${step}`) ? `${run}.logits.${step}` : `base.logits.${step}`;
    const wantLogits = toFloat32(await expected.read(stored)), width = wantLogits.length / rows;
    for (const row of excused) {
      logits.set(wantLogits.subarray(row * width, (row + 1) * width), row * width);
    }
    assertClose(logits, wantLogits, 1e-5, `${run}, logits of step ${step}`);
    const want = toInt32(await expected.read(`${run}.draft_tokens.${step}`));
    const margin = margins(wantLogits, rows);
    drafts.forEach((id, row) => {
      if (id === want[row] || excused.has(row)) return;
      assert.ok(margin[row]! <= MARGIN, `${run}, step ${step}, row ${row}: ${id} is not ${want[row]}`);
      if (!offPolicy) excused.add(row); // its later steps are fed another token
    });
  }
}

/** Loss, metrics, and gradients by name. */
async function train(opened: Opened, { decay, off_policy }: Run): Promise<{
  metrics: Record<string, number>;
  gradients: Map<string, Float32Array>;
}> {
  const { backend, config, tensors, batch } = opened;
  using _scope = backend.scope();
  const trained = eagle3Tensors(config).filter((info) => info.trained).map(({ name }) => name);
  const parameters = trained.map((name) => tensors.get(name)!);
  const tape = new Tape(backend, ops).watch(parameters);
  const objective = eagle3Objective(config, {
    tttSteps: STEPS,
    tttStepLossDecay: decay,
    useOffPolicyTokens: off_policy,
  });
  const result = objective.loss(tape.run, { backend, tensors, batch, gradients: true });
  const gradients = tape.gradientsIfAny(result.loss, parameters);
  const names = Object.keys(result.outputs), there = trained.filter((_, i) => gradients[i]);
  const read = await backend.readAll([
    ...Object.values(result.outputs),
    ...gradients.filter((g) => g !== null),
  ]);
  const metrics = result.metrics(Object.fromEntries(names.map((name, i) => [name, read[i]!])));
  return {
    metrics,
    gradients: new Map(there.map((name, i) => [name, read[names.length + i] as Float32Array])),
  };
}

for (const device of devices()) {
  for (const [name, entry] of eagle3Cases()) {
    const half = entry.dtype !== "float32";
    const runs = Object.entries(goldenJson<Record<string, Run>>("eagle3", name, "metrics.json"));
    const test = (what: string, body: (opened: Opened) => Promise<void>) =>
      Deno.test({
        name: `eagle3 ${name} ${what} on ${device.name}`,
        ignore: device.skip !== undefined,
        fn: async () => {
          using opened = await openCase(name, entry, device);
          await body(opened);
        },
      });

    if (half) {
      test("gives the logits of the first step as near as bf16 allows", async (opened) => {
        const [first] = await forward(opened, false), used = entry.lengths.reduce((a, b) => a + b, 0);
        const want = toFloat32(await opened.expected.read("base.logits.0"));
        const end = used * want.length / entry.total;
        assertClose(first!.logits.subarray(0, end), want.subarray(0, end), 2e-2, "logits of step 0");
      });
    } else {
      test("gives the logits and tokens of every step", async (opened) => {
        await checkForward(opened, "base", false);
        await checkForward(opened, "off_policy", true);
        await checkForward(opened, "no_loss", false);
      });
    }

    test("gives the losses, metrics and gradients", async (opened) => {
      for (const [run, stored] of runs) {
        const { metrics, gradients } = await train(opened, stored);
        for (const [key, want] of Object.entries(stored)) {
          if (typeof want === "boolean" || key === "decay" || (half && !key.startsWith("loss"))) continue;
          const bound = half ? 1e-2 : 1e-5, got = metrics[key]!;
          assert.ok(Math.abs(got - want) <= bound * Math.abs(want), `${run}, ${key}: ${got} is not ${want}`);
        }
        for (const key of entry.has_gradient) {
          const want = toFloat32(await opened.expected.read(`${run}.grad.${key}`)), got = gradients.get(key)!;
          if (half) assert.ok(cosine(got, want) >= (stored.off_policy ? 0.998 : 0.97), `${run}, ${key}`);
          else assertClose(got, want, 1e-4, `${run}, gradient of ${key}`);
        }
      }
    });

    if (half) continue;
    test("moves as AdamW moved it in three steps", async (opened) => {
      await checkSteps(opened, name, entry);
    });
  }
}

interface Trace {
  readonly lr: number;
  readonly warmup: number;
  readonly total: number;
  readonly cosine_cycles: number;
  readonly clip: number;
  readonly adamw: { readonly betas: [number, number]; readonly eps: number; readonly weight_decay: number };
  readonly runs: Readonly<Record<string, readonly { lr: number; loss: number; grad_norm: number }[]>>;
}

async function checkSteps(opened: Opened, name: string, entry: Eagle3Case): Promise<void> {
  const { backend, config, batch } = opened;
  const trace = goldenJson<Trace>("eagle3", name, "steps.json");
  using after = await openSafetensors(golden("eagle3", name, "after_steps.safetensors"));
  using before = await openSafetensors(golden("eagle3", name, "model.safetensors"));
  const { betas, eps, weight_decay: weightDecay } = trace.adamw;
  const optimizer = adamw(ops, { betas, eps, weightDecay, maxNorm: trace.clip });
  const objective = eagle3Objective(config, {
    tttSteps: STEPS,
    tttStepLossDecay: 1,
    useOffPolicyTokens: false,
  });
  for (const [kind, rows] of Object.entries(trace.runs)) {
    using _scope = backend.scope();
    const tensors = new Map(opened.tensors);
    for (const key of before.names()) tensors.set(key, backend.upload(await before.read(key)));
    const parameters = new Map(entry.has_gradient.map((key) => [key, tensors.get(key)!]));
    using state = optimizer.init(backend, parameters);
    const factor = schedule(kind, {
      warmupSteps: trace.warmup,
      totalSteps: trace.total,
      cycles: trace.cosine_cycles,
    });
    for (const [step, want] of rows.entries()) {
      using _step = backend.scope();
      const lr = trace.lr * factor(step);
      assert.ok(Math.abs(lr - want.lr) <= 1e-9);
      const tape = new Tape(backend, ops).watch(parameters.values());
      const { loss } = objective.loss(tape.run, { backend, tensors, batch, gradients: true });
      const found = tape.gradientsIfAny(loss, [...parameters.values()]);
      const gradients = new Map([...parameters.keys()].map((key, i) => [key, found[i]!]));
      const { norm } = optimizer.update(state, { parameters, gradients, lr });
      const [[gotLoss], [gotNorm]] = await backend.readAll([loss, norm]) as [Float32Array, Float32Array];
      assert.ok(Math.abs(gotLoss! - want.loss) <= 1e-5 * want.loss, `${kind} ${step}: loss ${gotLoss}`);
      assert.ok(Math.abs(gotNorm! - want.grad_norm) <= 1e-4 * want.grad_norm, `${kind} ${step}: ${gotNorm}`);
    }
    const bound = entry.kind === "llama" ? 3e-4 : 5e-3;
    for (const stored of after.names().filter((key) => key.startsWith(`${kind}.`))) {
      const key = stored.slice(kind.length + 1);
      const want = toFloat32(await after.read(stored)), start = toFloat32(await before.read(key));
      const got = await backend.read(tensors.get(key)!) as Float32Array;
      if (!parameters.has(key)) assert.deepEqual(got, start, key);
      else assert.ok(norm(got, want) <= bound * norm(want, start), `${kind}, ${key}: ${norm(got, want)}`);
    }
  }
}

Deno.test("the ranges and diagonals of an unrolled batch are the dense mask", async () => {
  using file = await openSafetensors(golden("eagle3", "masks.safetensors"));
  const lengths: number[] = JSON.parse(file.metadata["lengths"]!), total = Number(file.metadata["total"]);
  const documents = new Int32Array(total).fill(-1);
  lengths.reduce((at, length, i) => (documents.fill(i, at, at + length), at + length), 0);
  const ranges = unrollRanges(documents);
  for (let step = 0; step < STEPS; step++) {
    const width = total * (step + 1), mask = new Uint8Array(total * width);
    for (let q = 0; q < total; q++) {
      mask.fill(1, q * width + ranges[2 * q]!, q * width + ranges[2 * q + 1]!);
      for (let block = 1; block <= step; block++) mask[q * width + block * total + q] = 1;
    }
    assert.deepEqual(mask, toUint8(await file.read(`step_${step}`)));
  }
});

Deno.test("the verifier's part of an eagle3 draft is what the Python system made of it", async () => {
  for (const [name] of eagle3Cases()) {
    const host = await eagle3Host(name);
    using frozen = await openSafetensors(golden("eagle3", name, "frozen.safetensors"));
    assert.ok(frozen.names().length > 0);
    for (const key of frozen.names()) {
      const want = await frozen.read(key);
      assert.deepEqual(convert(host.get(key)!, want.dtype), want, `${name}, ${key}`);
    }
    assert.deepEqual([...host.keys()].sort(), eagle3Tensors(eagle3Config(name)).map((t) => t.name).sort());
  }
});
