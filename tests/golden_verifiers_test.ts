/** The verifier plugins against transformers: hidden states, logits, greedy tokens of every case in the manifest. */
import assert from "node:assert/strict";
import { ConfigError } from "../core/errors.ts";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { TensorSource } from "../core/formats/source.ts";
import type { VerifierModel } from "../core/plugin.ts";
import type { Tensor } from "../core/tensor.ts";
import { type OpenedVerifier, openVerifier } from "../core/verifier.ts";
import { argmax, cast, rmsnorm } from "../kernels/ops/mod.ts";
import { ropeFrequencies } from "../plugins/_shared/rope.ts";
import { builtins } from "../plugins/mod.ts";
import { golden, goldenJson } from "./golden.ts";
import { type Device, devices } from "./devices.ts";

/** Of the largest entry, as the goldens' page says. */
const TOLERANCE = 2e-5;

interface Case {
  readonly architecture: string;
  readonly attention_scaling: number;
}

interface Manifest {
  readonly cases: Readonly<Record<string, Case>>;
}

const { cases } = goldenJson<Manifest>("verifiers", "manifest.json");
const registry = builtins();
const plugins = await Promise.all(
  registry.list("verifier").map(({ name }) => registry.get("verifier", name)),
);
const known = plugins.flatMap((plugin) => plugin.architectures);

function config(name: string): Record<string, unknown> {
  return goldenJson("verifiers", name, "config.json");
}

function supported(name: string): boolean {
  return plugins.some((plugin) => plugin.matches(config(name)));
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
  const tokens = toInt32(await inputs.read(`${prompt}.input_ids`));
  const capture = Array.from({ length: layers + 1 }, (_, i) => i);
  using _scope = backend.scope();
  const out = model.forward({ tokens, capture });
  assert.deepEqual(await read(out.hidden[0]!), await floats(expected, `${prompt}.embed`));
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

/** The greedy continuation, one token at a time on a cache. */
async function greedy(model: VerifierModel, prompt: Int32Array, count: number): Promise<number[]> {
  const found: number[] = [], { backend } = model;
  using cache = model.cache(prompt.length + count);
  for (let tokens = prompt; found.length < count; tokens = Int32Array.of(found.at(-1)!)) {
    using _scope = backend.scope();
    const { logits } = model.forward({ tokens, cache, logits: "last" });
    found.push((await backend.read(argmax(backend.run, logits!)))[0]!);
  }
  return found;
}

function testCase(name: string, device: Device): void {
  const title = `verifier ${name} computes what transformers does on ${device.name}`;
  Deno.test(title, { ignore: device.skip !== undefined }, async () => {
    using backend = await device.open();
    using opened = await openVerifier(golden("verifiers", name), { registry });
    using model = await opened.load(backend);
    using inputs = await openWeights(golden("verifiers", name, "inputs.safetensors"));
    using expected = await openWeights(golden("verifiers", name, "expected.safetensors"));
    const prompts = inputs.names().filter((key) => key.endsWith(".input_ids")).map((key) =>
      key.split(".")[0]!
    );
    assert.ok(prompts.length > 0);
    for (const prompt of prompts) await checkPrompt(model, opened, { inputs, expected, prompt });
    const tokens = toInt32(await expected.read("greedy"));
    const prompt = toInt32(await inputs.read("p0.input_ids"));
    assert.deepEqual(await greedy(model, prompt, tokens.length), Array.from(tokens));
  });
}

function testFrequencies(name: string, scaled: number): void {
  Deno.test(`verifier ${name} rotates with the frequencies of transformers`, async () => {
    const whole = config(name), text = (whole["text_config"] ?? whole) as Record<string, unknown>;
    using expected = await openWeights(golden("verifiers", name, "expected.safetensors"));
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

for (const [name, { architecture, attention_scaling }] of Object.entries(cases)) {
  testFrequencies(name, attention_scaling);
  if (supported(name)) {
    for (const device of devices()) testCase(name, device);
  } else {
    Deno.test(`verifier ${name} is refused with the architectures that are known`, async () => {
      await assert.rejects(openVerifier(golden("verifiers", name), { registry }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(
          error.message,
          new RegExp(`expected one of .*, received .*${architecture}`),
        );
        for (const architecture of known) assert.ok(error.message.includes(architecture), architecture);
        return true;
      });
    });
  }
}
