/**
 * One training step of an Eagle-3 draft for each line on stdin: prints `{"seconds", "loss", "peak", "device", "ops"}` as
 * JSON, where `ops` are the seconds that each op took (on
 * WebGPU: alone, right after the step).
 *
 * usage: deno run -A train_step.ts SHAPE.json DEVICE MASK; MASK is the text of the loss mask, a digit a row.
 *
 * @module
 */
import { readFileSync, writeSync } from "node:fs";
import { uploadDraft } from "../../core/draft_tensors.ts";
import type { PackedBatch } from "../../core/data/batch.ts";
import { adamw } from "../../core/optim.ts";
import { Tape } from "../../core/tape.ts";
import { type Backend, elements, type HostTensor, type Run } from "../../core/tensor.ts";
import { open } from "../../kernels/mod.ts";
import * as ops from "../../kernels/ops/mod.ts";
import type { Eagle3Config } from "../../plugins/eagle3/config.ts";
import { eagle3Tensors } from "../../plugins/eagle3/initialise.ts";
import { eagle3Objective } from "../../plugins/eagle3/objective.ts";
import { randomOf } from "../conformance/random.ts";
import { Replay } from "./replay.ts";

/** The shape of what is trained, as in `train_step.json`. */
interface Shape {
  readonly hidden: number;
  readonly layers: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  readonly vocab: number;
  readonly draft_vocab: number;
  readonly length: number;
  readonly ttt_steps: number;
}

function configOf(shape: Shape): Eagle3Config {
  return {
    speculators_model_type: "eagle3",
    draft_vocab_size: shape.draft_vocab,
    norm_before_residual: true,
    transformer_layer_config: {
      model_type: "llama",
      vocab_size: shape.vocab,
      hidden_size: shape.hidden,
      intermediate_size: shape.intermediate,
      num_hidden_layers: shape.layers,
      num_attention_heads: shape.heads,
      num_key_value_heads: shape.kv_heads,
      head_dim: shape.head_dim,
      rms_norm_eps: 1e-6,
      max_position_embeddings: 2048,
      rope_theta: 10000,
      hidden_act: "silu",
    },
  } as unknown as Eagle3Config;
}

/** Numbers around 0, spread enough to be no special case. */
function numbers(count: number, spread: number, random: () => number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = (random() - 0.5) * 3.46 * spread;
  return out;
}

function hostTensors(config: Eagle3Config, random: () => number): Map<string, HostTensor> {
  return new Map(
    eagle3Tensors(config).map(({ name, shape }): [string, HostTensor] => {
      const count = elements(shape);
      if (name === "d2t") return [name, { shape, dtype: "i64", bytes: new Uint8Array(8 * count) }];
      if (name === "t2d") return [name, { shape, dtype: "bool", bytes: new Uint8Array(count) }];
      const data = name.includes("norm")
        ? new Float32Array(count).fill(1)
        : numbers(count, shape.at(-1)! ** -0.5, random);
      return [name, { shape, dtype: "f32", bytes: new Uint8Array(data.buffer) }];
    }),
  );
}

function batchOf(shape: Shape, mask: string, random: () => number): PackedBatch {
  const { length, hidden } = shape;
  return {
    tokens: Int32Array.from({ length }, () => Math.floor(random() * shape.draft_vocab)),
    lossMask: Uint8Array.from(mask, Number),
    positions: Int32Array.from({ length }, (_, i) => i + 1),
    documents: new Int32Array(length),
    lengths: [length],
    hidden: numbers(length * 3 * hidden, 1, random),
    last: numbers(length * hidden, 1, random),
    auxWidth: 3 * hidden,
    width: hidden,
  };
}

/** Times each op that is not put together from others; on WASM an op has run when its call returns. */
function timed(backend: Backend, seconds: Map<string, number>): void {
  const { run } = backend;
  const timing: Run = (op, inputs, attrs) => {
    if (op.compose) return run(op, inputs, attrs);
    const start = performance.now(), outputs = run(op, inputs, attrs);
    seconds.set(op.name, (seconds.get(op.name) ?? 0) + (performance.now() - start) / 1000);
    return outputs;
  };
  Object.defineProperty(backend, "run", { value: timing });
}

/** Most memory the process ever had, in bytes. */
function peak(): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
  } catch {
    return Deno.memoryUsage().rss; // where the system keeps no count
  }
}

function say(value: object): void {
  writeSync(1, `${JSON.stringify(value)}\n`);
}

async function main([file, device, mask]: string[]): Promise<void> {
  const shape = JSON.parse(Deno.readTextFileSync(file!)) as Shape, random = randomOf("train step");
  using backend = await open(device as "wasm" | "webgpu");
  const seconds = new Map<string, number>(), replay = backend.name === "wasm" ? null : new Replay(backend);
  if (!replay) timed(backend, seconds);
  const config = configOf(shape), infos = eagle3Tensors(config);
  using tensors = uploadDraft(backend, hostTensors(config, random), infos);
  const batch = batchOf(shape, mask!, random);
  const objective = eagle3Objective(config, {
    tttSteps: shape.ttt_steps,
    tttStepLossDecay: 1,
    useOffPolicyTokens: false,
  });
  const optimizer = adamw(ops, { maxNorm: 1 });
  using state = optimizer.init(backend, tensors.trained);
  const names = [...tensors.trained.keys()], parameters = [...tensors.trained.values()];
  say({ device: backend.description });
  const reader = Deno.stdin.readable.getReader();
  while (!(await reader.read()).done) {
    seconds.clear();
    replay?.clear();
    backend.resetPeak();
    const start = performance.now();
    using _scope = backend.scope();
    const tape = new Tape(backend, ops).watch(parameters);
    const result = objective.loss(tape.run, { backend, tensors: tensors.all, batch, gradients: true });
    const found = tape.gradientsIfAny(result.loss, parameters);
    const gradients = new Map(names.map((name, i) => [name, found[i]!]));
    optimizer.update(state, { parameters: tensors.trained, gradients, lr: 1e-4 });
    const [loss] = await backend.read(result.loss);
    const took = (performance.now() - start) / 1000;
    say({
      seconds: took,
      loss,
      peak: peak(),
      held: backend.memory().peak,
      ops: await replay?.seconds() ?? Object.fromEntries(seconds),
    });
  }
}

await main(Deno.args);
