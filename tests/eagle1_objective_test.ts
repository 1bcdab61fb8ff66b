/**
 * The losses of EAGLE and HASS by their definitions: each step of each row is worked by a whole pass of its own, over the
 * verifier's features up to the row and the draft's own behind it, as decoding would.
 */
import assert from "node:assert/strict";
import type { PackedBatch } from "../core/data/batch.ts";
import { toFloat32 } from "../core/formats/dtype.ts";
import type { DraftAlgorithm } from "../core/plugin.ts";
import type { Backend, Tensor } from "../core/tensor.ts";
import { linear, rmsnorm } from "../kernels/ops/mod.ts";
import type { EagleConfig } from "../plugins/_shared/eagle1/config.ts";
import { eagle } from "../plugins/eagle/algorithm.ts";
import { hass } from "../plugins/hass/algorithm.ts";
import { gauss, randomOf } from "./conformance/random.ts";
import { testOnDevices } from "./devices.ts";
import { eagle1Cases, eagle1Config, eagle1Host, eagle1Pass } from "./eagle1_golden.ts";

const STEPS = 3, DECAY = 0.8, LENGTHS = [5, 4], PADDING = 2;

interface Opened {
  readonly backend: Backend;
  readonly config: EagleConfig;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly width: number;
}

function batchOf({ config, width }: Opened): PackedBatch {
  const random = randomOf("objective"), used = LENGTHS.reduce((a, b) => a + b, 0), rows = used + PADDING;
  const draw = () => Float32Array.from({ length: rows * width }, () => gauss(random));
  const documents = LENGTHS.flatMap((length, document) => new Array<number>(length).fill(document));
  const places = LENGTHS.flatMap((length) => Array.from({ length }, (_, i) => i + 1));
  const { vocab_size } = config.transformer_layer_config;
  return {
    tokens: Int32Array.from({ length: rows }, () => Math.floor(random() * vocab_size)),
    lossMask: Uint8Array.from({ length: rows }, (_, row) => row < used && row !== 3 ? 1 : 0),
    positions: Int32Array.from({ length: rows }, (_, row) => places[row] ?? 0),
    documents: Int32Array.from({ length: rows }, (_, row) => documents[row] ?? -1),
    lengths: LENGTHS,
    hidden: draw(),
    last: draw(),
    auxWidth: width,
    width,
  };
}

/** The verifier's final norm over states, and what its head reads from them. */
async function verifierSide(
  { backend, config, tensors, width }: Opened,
  states: Float32Array,
): Promise<{ features: Float32Array; logits: Float32Array }> {
  using _scope = backend.scope();
  const { run } = backend, eps = config.transformer_layer_config.rms_norm_eps!;
  const x = backend.from(states, [states.length / width, width]);
  const normed = rmsnorm(run, x, tensors.get("verifier_norm.weight")!, eps);
  const read = await backend.readAll([normed, linear(run, normed, tensors.get("lm_head.weight")!)]);
  return { features: read[0] as Float32Array, logits: read[1] as Float32Array };
}

function logSoftmax(x: Float32Array): number[] {
  const top = Math.max(...x), total = x.reduce((sum, value) => sum + Math.exp(value - top), 0);
  return Array.from(x, (value) => value - top - Math.log(total));
}

function smoothL1(x: Float32Array, y: Float32Array): number {
  const terms = Array.from(x, (value, i) => Math.abs(value - y[i]!));
  return terms.reduce((sum, d) => sum + (d < 1 ? d * d / 2 : d - 0.5), 0) / x.length;
}

/** `−Σ q log p` over all tokens, and over the verifier's ten likeliest. */
function crossEntropies(logits: Float32Array, goal: Float32Array): { all: number; top: number } {
  const logp = logSoftmax(logits), q = logSoftmax(goal).map(Math.exp);
  const costs = q.map((x, i) => -x * logp[i]!);
  const order = [...q.keys()].sort((i, j) => q[j]! - q[i]!);
  const sum = (at: readonly number[]) => at.reduce((total, i) => total + costs[i]!, 0);
  return { all: sum(order), top: sum(order.slice(0, 10)) };
}

/** The loss of each step, its top-k part weighted, before the decay. */
async function byDefinition(opened: Opened, batch: PackedBatch, top: number): Promise<number[]> {
  const { width } = opened, { tokens, lossMask, documents } = batch;
  const goals = await verifierSide(opened, batch.last), vocab = goals.logits.length / tokens.length;
  const { features: fed } = await verifierSide(opened, batch.hidden);
  const sums = new Array<number>(STEPS).fill(0), counts = new Array<number>(STEPS).fill(0);
  let start = 0;
  for (const length of batch.lengths) {
    for (let row = start; row < start + length; row++) {
      const hidden = Array.from(fed.subarray(start * width, (row + 1) * width));
      for (let step = 0; step < STEPS && row + step < start + length; step++) {
        const at = row + step;
        assert.equal(documents[at], documents[row]);
        const [features, logits] = await eagle1Pass(opened, {
          ids: tokens.slice(start, at + 1),
          hidden: Float32Array.from(hidden),
          first: 1,
        });
        const own = features.subarray(-width);
        hidden.push(...own); // stands where the verifier's feature would
        if (lossMask[at] === 0) continue;
        const goal = goals.logits.subarray(at * vocab, (at + 1) * vocab);
        const ce = crossEntropies(logits.subarray(-vocab), goal);
        sums[step]! += smoothL1(own, goals.features.subarray(at * width, (at + 1) * width)) + 0.1 * ce.all +
          top * ce.top;
        counts[step]!++;
      }
    }
    start += length;
  }
  return sums.map((sum, step) => sum / (counts[step]! + 1e-5));
}

async function metricsOf(
  opened: Opened,
  batch: PackedBatch,
  algorithm: DraftAlgorithm<EagleConfig>,
): Promise<Record<string, number>> {
  const { backend, config, tensors } = opened;
  using _scope = backend.scope();
  const options = { tttSteps: STEPS, tttStepLossDecay: DECAY, useOffPolicyTokens: false };
  const objective = algorithm.objective!(config, options);
  const { outputs, metrics } = objective.loss(backend.run, { backend, tensors, batch, gradients: false });
  const names = Object.keys(outputs), read = await backend.readAll(Object.values(outputs));
  return metrics(Object.fromEntries(names.map((name, i) => [name, read[i]!])));
}

for (const [name] of eagle1Cases()) {
  testOnDevices(`eagle1 ${name} has the losses of EAGLE and HASS by their definitions`, async (backend) => {
    const config = await eagle1Config(name), host = await eagle1Host(name);
    const tensors = new Map([...host].map(([key, tensor]) => [key, backend.upload(tensor)]));
    const width = toFloat32(host.get("verifier_norm.weight")!).length;
    const opened = { backend, config, tensors, width }, batch = batchOf(opened);
    for (const [algorithm, top, trained] of [[eagle, 0, 1], [hass, 1, STEPS]] as const) {
      const steps = (await byDefinition(opened, batch, top)).map((loss, step) => loss * DECAY ** step);
      const metrics = await metricsOf(opened, batch, algorithm);
      const wanted: Record<string, number> = {
        loss: steps.slice(0, trained).reduce((a, b) => a + b, 0),
        ...Object.fromEntries(steps.map((loss, step) => [`loss_${step}`, loss])),
      };
      for (const [key, want] of Object.entries(wanted)) {
        const got = metrics[key]!;
        assert.ok(Math.abs(got - want) <= 1e-5 * want, `${key}, top-k ${top}: ${got} is not ${want}`);
      }
    }
  });
}
