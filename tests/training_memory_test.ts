/** Steps of drafts in less memory: parts computed again, weights in 16 bits, bindings smaller than the model. */
import assert from "node:assert/strict";
import { computeTensors } from "../core/compute_dtype.ts";
import type { PackedBatch } from "../core/data/batch.ts";
import { openSafetensors } from "../core/formats/safetensors.ts";
import type { DraftSources, DraftTensorInfo, Objective } from "../core/plugin.ts";
import { MemoryBudget, Tape } from "../core/tape.ts";
import { type Backend, describe, type HostTensor, type Run } from "../core/tensor.ts";
import { openWebgpu } from "../kernels/webgpu/mod.ts";
import * as ops from "../kernels/ops/mod.ts";
import type { DFlashConfig } from "../plugins/dflash/config.ts";
import { dflashTensors, initialiseDFlash } from "../plugins/dflash/initialise.ts";
import { dflashObjective } from "../plugins/dflash/objective.ts";
import { eagle3Tensors } from "../plugins/eagle3/initialise.ts";
import { eagle3Objective } from "../plugins/eagle3/objective.ts";
import type { MtpConfig } from "../plugins/mtp/config.ts";
import { initialiseMtp, mtpTensors } from "../plugins/mtp/initialise.ts";
import { mtpObjective } from "../plugins/mtp/objective.ts";
import { devices, testOnDevices } from "./devices.ts";
import { eagle3Batch, eagle3Cases, eagle3Config, eagle3Host } from "./eagle3_golden.ts";
import { golden, goldenJson } from "./golden.ts";
import { goldenInputs, goldenVerifier, shifted } from "./golden_drafts.ts";

interface Case {
  readonly objective: Objective;
  readonly host: ReadonlyMap<string, HostTensor>;
  readonly trained: readonly string[];
  readonly batch: PackedBatch;
}

interface GoldenCase {
  readonly hidden: number;
  readonly lengths: readonly number[];
}

/** The case with the most layers. */
async function deepest(): Promise<Case> {
  const cases = eagle3Cases().filter(([, { dtype }]) => dtype === "float32");
  const layers = ([name]: (typeof cases)[number]) =>
    eagle3Config(name).transformer_layer_config.num_hidden_layers;
  const [name, entry] = cases.sort((a, b) => layers(b) - layers(a))[0]!, config = eagle3Config(name);
  const host = new Map(await eagle3Host(name));
  using frozen = await openSafetensors(golden("eagle3", name, "frozen.safetensors"));
  for (const key of frozen.names()) host.set(key, await frozen.read(key));
  return {
    objective: eagle3Objective(config, OPTIONS),
    host,
    trained: eagle3Tensors(config).filter((info) => info.trained).map((info) => info.name),
    batch: await eagle3Batch(name, entry),
  };
}

const OPTIONS = { tttSteps: 3, tttStepLossDecay: 0.9, useOffPolicyTokens: false };

/** A draft of blocks with several layers. */
async function layered(): Promise<Case> {
  const { cases } = goldenJson<{ cases: Record<string, GoldenCase & { layer_types: unknown[] }> }>(
    "dflash",
    "index.json",
  );
  const [name, entry] = Object.entries(cases).sort(([, a], [, b]) =>
    b.layer_types.length - a.layer_types.length
  )[0]!;
  const config = goldenJson<DFlashConfig>("dflash", name, "config.json");
  return {
    objective: dflashObjective(config, OPTIONS),
    ...await trainedCase(["dflash", name], entry, {
      infos: dflashTensors(config),
      initialise: (sources) => initialiseDFlash(config, sources),
    }),
  };
}

/** A draft of one layer with several steps. */
async function stepped(): Promise<Case> {
  const { cases } = goldenJson<{ cases: Record<string, GoldenCase & { steps: number }> }>(
    "mtp",
    "index.json",
  );
  const [name, entry] = Object.entries(cases).sort(([, a], [, b]) => b.steps - a.steps)[0]!;
  const config = goldenJson<MtpConfig>("mtp", name, "config.json");
  return {
    objective: mtpObjective(config, OPTIONS),
    ...await trainedCase(["mtp", name], entry, {
      infos: mtpTensors(config),
      initialise: (sources) => initialiseMtp(config, sources),
    }),
  };
}

async function trainedCase(
  folder: readonly string[],
  entry: GoldenCase,
  { infos, initialise }: {
    readonly infos: readonly DraftTensorInfo[];
    readonly initialise: (sources: DraftSources) => Promise<Map<string, HostTensor>>;
  },
): Promise<Omit<Case, "objective">> {
  using checkpoint = await openSafetensors(golden(...folder, "model.safetensors"));
  using verifier = await openSafetensors(golden(...folder, "verifier", "model.safetensors"));
  const sources = { seed: 0, checkpoint, vocabulary: null, verifier: goldenVerifier(verifier) };
  return {
    host: await initialise(sources),
    trained: infos.filter((info) => info.trained).map((info) => info.name),
    batch: shifted(await goldenInputs(folder, entry)),
  };
}

/** The first rows of a batch. */
function begin(batch: PackedBatch, rows: number): PackedBatch {
  const { auxWidth, width } = batch;
  return {
    tokens: batch.tokens.subarray(0, rows),
    lossMask: batch.lossMask.subarray(0, rows),
    positions: batch.positions.subarray(0, rows),
    documents: batch.documents.subarray(0, rows),
    lengths: [rows],
    hidden: batch.hidden.subarray(0, rows * auxWidth),
    last: batch.last.subarray(0, rows * width),
    auxWidth,
    width,
  };
}

interface Step {
  readonly loss: number;
  /** Gradients by name. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Bytes beyond the model's at the worst moment. */
  readonly peak: number;
}

async function step(
  backend: Backend,
  { objective, host, trained: names, batch }: Case,
  options: { readonly budget?: MemoryBudget; readonly dtype?: "bf16"; readonly run?: (run: Run) => Run } = {},
): Promise<Step> {
  using _scope = backend.scope();
  const all = new Map([...host].map(([name, data]) => {
    const dtype = data.dtype === "i64" ? "i32" : data.dtype === "bool" ? "u8" : "f32";
    return [name, backend.upload(data, dtype)];
  }));
  const trained = new Map(names.map((name) => [name, all.get(name)!])), parameters = [...trained.values()];
  const { live } = backend.memory();
  backend.resetPeak();
  const tape = new Tape(backend, ops, options.budget ?? null).watch(parameters);
  const run = options.run?.(tape.run) ?? tape.run;
  const tensors = computeTensors(run, { all, trained }, { dtype: options.dtype ?? "f32", ops });
  const result = objective.loss(run, { backend, tensors, batch, gradients: true, part: tape.part });
  const found = tape.gradients(result.loss, parameters), { peak } = backend.memory();
  const [loss, ...data] = await backend.readAll([result.loss, ...found]);
  return {
    loss: loss![0]!,
    gradients: new Map(names.map((name, i) => [name, data[i] as Float32Array])),
    peak: peak - live,
  };
}

/** The largest difference of a tensor's entries, as a share of its largest entry. */
function apart(a: Step, b: Step): number {
  let worst = 0;
  for (const [name, data] of a.gradients) {
    const other = b.gradients.get(name)!;
    const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
    data.forEach((x, i) => worst = Math.max(worst, Math.abs(x - other[i]!) / largest));
  }
  return worst;
}

testOnDevices("a draft's steps computed again give the same bits in less memory", async (backend) => {
  for (const find of [deepest, layered, stepped]) await checkAgain(backend, await find());
});

async function checkAgain(backend: Backend, one: Case): Promise<void> {
  const kept = await step(backend, one);
  assert.ok(kept.loss > 0);
  const again = await step(backend, one, { budget: new MemoryBudget(1) });
  assert.equal(again.loss, kept.loss);
  assert.deepEqual(again.gradients, kept.gradients);
  assert.ok(again.peak < 0.8 * kept.peak, `${again.peak} bytes of ${kept.peak}`);
  const roomy = new MemoryBudget(1e9);
  await step(backend, one, { budget: roomy });
  assert.ok(
    (await step(backend, one, { budget: roomy })).peak >= 0.99 * kept.peak,
    "kept where there is room",
  );
}

testOnDevices("weights in 16 bits give gradients in f32, near those of f32", async (backend) => {
  const one = await deepest(), plain = await step(backend, one), products: string[] = [];
  const spy = (run: Run): Run => (op, inputs, attrs) => {
    if (/^(matmul|linears|linear_loss)$/.test(op.name)) products.push(...inputs.slice(1, 2).map(describe));
    return run(op, inputs, attrs);
  };
  const half = await step(backend, one, { dtype: "bf16", run: spy });
  assert.ok(products.some((spec) => spec.startsWith("bf16")), products.join());
  for (const data of half.gradients.values()) assert.ok(data instanceof Float32Array);
  assert.ok(Math.abs(half.loss - plain.loss) < 0.02 * plain.loss, `${half.loss} for ${plain.loss}`);
  assert.ok(half.loss !== plain.loss);
  const off = [...plain.gradients].map(([name, data]) => {
    const other = half.gradients.get(name)!;
    return Math.hypot(...data.map((x, i) => x - other[i]!)) / (Math.hypot(...data) || 1);
  });
  assert.ok(Math.max(...off) < 0.1, off.map((x) => x.toFixed(3)).join());
});

Deno.test({
  name: "a draft whose tensors are larger than a binding trains in blocks",
  ignore: devices().some(({ name, skip }) => name === "webgpu" && skip !== undefined),
  async fn() {
    const deep = await deepest(), limit = 4096;
    const one = { ...deep, batch: begin(deep.batch, 16) }; // attention binds its rows at once
    const largest = Math.max(...[...one.host.values()].map(({ bytes }) => bytes.length));
    assert.ok(largest > 2 * limit, `${largest} bytes`);
    using whole = await openWebgpu();
    using parts = await openWebgpu({ maxBinding: limit });
    const expected = await step(whole, one), found = await step(parts, one);
    assert.ok(Math.abs(found.loss - expected.loss) < 1e-5 * expected.loss);
    assert.ok(apart(expected, found) < 1e-4, `${apart(expected, found)}`);
  },
});
