/** The verifier plugins against transformers: hidden states, logits, greedy tokens of every case in the manifest. */
import assert from "node:assert/strict";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { TensorSource } from "../core/formats/source.ts";
import type { ForwardInput, ImagePatches, VerifierModel } from "../core/plugin.ts";
import type { Tensor } from "../core/tensor.ts";
import { type OpenedVerifier, openVerifier } from "../core/verifier.ts";
import { argmax, cast, expertLinear, expertPlan, rmsnorm } from "../kernels/ops/mod.ts";
import { ropeFrequencies } from "../plugins/_shared/rope.ts";
import { builtins } from "../plugins/mod.ts";
import { golden, goldenJson } from "./golden.ts";
import { type Device, devices } from "./devices.ts";

/** Of the largest entry, as the goldens' page says. */
const TOLERANCE = 2e-5;

interface Case {
  readonly attention_scaling: number;
}

interface Manifest {
  readonly cases: Readonly<Record<string, Case>>;
}

const registry = builtins();

interface Place {
  /** The folder that the case is in. */
  readonly set: string;
  readonly name: string;
}

function assertClose(got: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(got.length, expected.length, what);
  let largest = 0, distance = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    distance = Math.max(distance, Math.abs(got[i]! - expected[i]!));
  }
  assert.ok(
    distance <= TOLERANCE * largest,
    `${what}: ${distance} is more than ${TOLERANCE} of ${largest}`,
  );
}

async function floats(source: TensorSource, name: string): Promise<Float32Array> {
  return toFloat32(await source.read(name));
}

async function read(tensor: Tensor): Promise<Float32Array> {
  return await tensor.backend.read(tensor) as Float32Array;
}

/** The numbers of a prompt: each layer, the final norm, the logits. */
async function checkPrompt(
  model: VerifierModel,
  opened: OpenedVerifier,
  files: { readonly inputs: TensorSource; readonly expected: TensorSource; readonly prompt: string },
): Promise<void> {
  const { inputs, expected, prompt } = files, { layers, rmsNormEps } = model.info, { backend } = model;
  const tokens = toInt32(await inputs.read(`${prompt}.input_ids`)), images = await imagesOf(inputs, prompt);
  const capture = Array.from({ length: layers + 1 }, (_, i) => i);
  using _scope = backend.scope();
  const out = model.forward({ tokens, images, capture });
  const embedded = await floats(expected, `${prompt}.embed`), found = await read(out.hidden[0]!);
  if (images.length === 0) assert.deepEqual(found, embedded);
  else assertClose(found, embedded, `${prompt}, what enters the first layer`);
  const states = await floats(expected, `${prompt}.layers`), size = states.length / layers;
  for (let layer = 0; layer < layers; layer++) {
    const part = states.subarray(layer * size, (layer + 1) * size);
    assertClose(await read(out.hidden[layer + 1]!), part, `${prompt}, after layer ${layer}`);
  }
  const norm = cast(backend.run, backend.upload(await opened.weights.norm()), "f32");
  const final = rmsnorm(backend.run, out.hidden[layers]!, norm, rmsNormEps);
  assertClose(await read(final), await floats(expected, `${prompt}.final`), `${prompt}, final norm`);
  assertClose(await read(out.logits!), await floats(expected, `${prompt}.logits`), `${prompt}, logits`);
}

/** The images of a prompt. */
async function imagesOf(inputs: TensorSource, prompt: string): Promise<ImagePatches[]> {
  if (!inputs.has(`${prompt}.pixel_values`)) return [];
  const grids = toInt32(await inputs.read(`${prompt}.image_grid_thw`));
  const pixels = await floats(inputs, `${prompt}.pixel_values`);
  const patches = inputs.spec(`${prompt}.pixel_values`).shape, images: ImagePatches[] = [];
  for (let i = 0, at = 0; i < grids.length; i += 3) {
    const grid = grids.subarray(i, i + 3) as unknown as ImagePatches["grid"];
    const size = grid[0] * grid[1] * grid[2] * patches[1]!;
    images.push({ pixels: pixels.subarray(at, at + size), grid });
    at += size;
  }
  return images;
}

/** The greedy continuation, one token at a time on a cache. */
async function greedy(
  model: VerifierModel,
  prompt: { readonly tokens: Int32Array; readonly images: readonly ImagePatches[] },
  count: number,
): Promise<number[]> {
  const found: number[] = [], { backend } = model;
  using cache = model.cache(prompt.tokens.length + count);
  let input: Pick<ForwardInput, "tokens" | "images"> = prompt;
  for (; found.length < count; input = { tokens: Int32Array.of(found.at(-1)!) }) {
    using _scope = backend.scope();
    const { logits } = model.forward({ ...input, cache, logits: "last" });
    found.push((await backend.read(argmax(backend.run, logits!)))[0]!);
  }
  return found;
}

function testCase({ set, name }: Place, device: Device): void {
  const title = `verifier ${name} computes what transformers does on ${device.name}`;
  Deno.test(title, { ignore: device.skip !== undefined }, async () => {
    using backend = await device.open();
    using opened = await openVerifier(golden(set, name), { registry });
    using model = await opened.load(backend);
    using inputs = await openWeights(golden(set, name, "inputs.safetensors"));
    using expected = await openWeights(golden(set, name, "expected.safetensors"));
    const prompts = inputs.names().filter((key) => key.endsWith(".input_ids")).map((key) =>
      key.split(".")[0]!
    );
    assert.ok(prompts.length > 0);
    for (const prompt of prompts) await checkPrompt(model, opened, { inputs, expected, prompt });
    for (const [key, prompt] of [["greedy", "p0"], ["p1.greedy", "p1"]] as const) {
      if (!expected.has(key)) continue;
      const wanted = toInt32(await expected.read(key));
      const tokens = toInt32(await inputs.read(`${prompt}.input_ids`));
      const images = await imagesOf(inputs, prompt);
      assert.deepEqual(await greedy(model, { tokens, images }, wanted.length), Array.from(wanted), key);
    }
  });
}

function testFrequencies({ set, name }: Place, scaled: number): void {
  Deno.test(`verifier ${name} rotates with the frequencies of transformers`, async () => {
    const whole = goldenJson<Record<string, unknown>>(set, name, "config.json"),
      text = (whole["text_config"] ?? whole) as Record<string, unknown>;
    using expected = await openWeights(golden(set, name, "expected.safetensors"));
    const wanted = await floats(expected, "inv_freq");
    const { inverse, factor } = ropeFrequencies({
      headDim: 2 * wanted.length,
      theta: text["rope_theta"] as number,
      scaling: text["rope_scaling"] as Record<string, unknown> | null,
      maxPositions: text["max_position_embeddings"] as number,
    });
    assert.ok(Math.abs(factor - scaled) <= 1e-6 * scaled, `${factor} is not ${scaled}`);
    inverse.forEach((f, i) => assert.ok(Math.abs(f - wanted[i]!) <= 1e-6 * wanted[i]!, `${i}: ${f}`));
  });
}

/** Layer 0's experts as the product widens them: its rows are the weights' where x is the unit matrix. */
function testExperts({ set, name }: Place, device: Device): void {
  Deno.test(`verifier ${name} widens its experts exactly on ${device.name}`, {
    ignore: device.skip !== undefined,
  }, async () => {
    using backend = await device.open();
    using weights = await openWeights(golden(set, name));
    using expected = await openWeights(golden(set, name, "expected.safetensors"));
    for (const projection of ["gate_up_proj", "down_proj"]) {
      using _scope = backend.scope();
      const wanted = await expected.read(`dequant.0.${projection}`),
        [experts, depth] = wanted.shape as number[];
      const [weight, scales] = await Promise.all(
        ["blocks", "scales"].map(async (part) =>
          backend.upload(await weights.read(`model.layers.0.mlp.experts.${projection}_${part}`))
        ),
      ) as [Tensor, Tensor];
      const unit = new Float32Array(depth! * depth!).map((_, i) => i % (depth! + 1) === 0 ? 1 : 0);
      const chosen = backend.from(Int32Array.from({ length: experts! * depth! }, (_, i) => i % experts!), [
        depth!,
        experts!,
      ]);
      const plan = expertPlan(backend.run, chosen, experts!);
      const rows = expertLinear(backend.run, backend.from(unit, [depth!, depth!]), {
        plan,
        weights: { weight, scales },
        repeat: experts!,
      });
      const found = await read(rows), all = toFloat32(wanted), columns = wanted.shape[2]!;
      for (let e = 0; e < experts!; e++) {
        for (let k = 0; k < depth!; k++) {
          const at = (k * experts! + e) * columns, to = (e * depth! + k) * columns;
          assert.deepEqual(found.subarray(at, at + columns), all.subarray(to, to + columns), `${e}, ${k}`);
        }
      }
    }
  });
}

for (const set of ["verifiers", "verifiers-more"]) {
  const { cases } = goldenJson<Manifest>(set, "manifest.json");
  for (const [name, { attention_scaling }] of Object.entries(cases)) {
    testFrequencies({ set, name }, attention_scaling);
    using expected = await openWeights(golden(set, name, "expected.safetensors"));
    for (const device of devices()) {
      testCase({ set, name }, device);
      if (expected.has("dequant.0.down_proj")) testExperts({ set, name }, device);
    }
  }
}
