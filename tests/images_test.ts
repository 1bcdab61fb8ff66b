/** Images in prompts: beside a cache, beside other sequences, and where they do not fit. */
import assert from "node:assert/strict";
import { ShapeError } from "../core/errors.ts";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import { openWeights } from "../core/formats/weights.ts";
import type { ForwardInput, ImagePatches, VerifierModel } from "../core/plugin.ts";
import type { Backend } from "../core/tensor.ts";
import { openVerifier } from "../core/verifier.ts";
import { builtins } from "../plugins/mod.ts";
import { testOnDevices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

interface Prompt {
  readonly tokens: Int32Array;
  readonly images: readonly ImagePatches[];
}

const SETS: readonly string[] = ["verifiers", "verifiers-more"];

function casesOf(set: string): string[] {
  return Object.keys(goldenJson<{ cases: Record<string, unknown> }>(set, "manifest.json").cases);
}

const registry = builtins();

async function withModel(
  backend: Backend,
  body: (model: VerifierModel, prompts: readonly [text: Prompt, image: Prompt]) => Promise<void>,
): Promise<void> {
  let found = 0;
  for (const [set, name] of SETS.flatMap((set) => casesOf(set).map((name) => [set, name] as const))) {
    using inputs = await openWeights(golden(set, name, "inputs.safetensors"));
    if (!inputs.has("p1.pixel_values")) continue;
    found++;
    using opened = await openVerifier(golden(set, name), { registry });
    using model = await opened.load(backend);
    const pixels = toFloat32(await inputs.read("p1.pixel_values"));
    const grid = toInt32(await inputs.read("p1.image_grid_thw")) as unknown as ImagePatches["grid"];
    const tokens = async (key: string) => toInt32(await inputs.read(`${key}.input_ids`));
    await body(model, [{ tokens: await tokens("p0"), images: [] }, {
      tokens: await tokens("p1"),
      images: [{ pixels, grid }],
    }]);
  }
  assert.ok(found > 0);
}

async function logits(model: VerifierModel, input: ForwardInput): Promise<Float32Array> {
  using _scope = model.backend.scope();
  return await model.backend.read(model.forward(input).logits!) as Float32Array;
}

function imageToken({ info }: VerifierModel): number {
  return info.raw["image_token_id"] as number;
}

function assertNear(got: Float32Array, expected: Float32Array): void {
  assert.equal(got.length, expected.length);
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  got.forEach((x, i) => assert.ok(Math.abs(x - expected[i]!) <= 1e-5 * largest, `${x} at ${i}`));
}

testOnDevices("text goes on behind an image as in one pass, also after going back", async (backend) => {
  await withModel(backend, async (model, [_, { tokens, images }]) => {
    const whole = await logits(model, { tokens, images }), { vocabSize } = model.info;
    const end = tokens.lastIndexOf(imageToken(model)) + 2;
    using cache = model.cache(2 * tokens.length);
    const first = await logits(model, { tokens: tokens.slice(0, end), images, cache });
    const rest = await logits(model, { tokens: tokens.slice(end), cache });
    assertNear(first, whole.subarray(0, end * vocabSize));
    assertNear(rest, whole.subarray(end * vocabSize));
    cache.truncate(end);
    assert.deepEqual(await logits(model, { tokens: tokens.slice(end), cache }), rest);
    cache.truncate(0);
    assertNear(await logits(model, { tokens, images, cache }), whole);
  });
});

testOnDevices("prompts with and without images beside each other are as alone", async (backend) => {
  await withModel(backend, async (model, [text, image]) => {
    const alone = [await logits(model, text), await logits(model, image)];
    const tokens = Int32Array.from([...text.tokens, ...image.tokens, ...image.tokens]);
    const images = [...image.images, ...image.images];
    const lengths = [text, image, image].map(({ tokens }) => tokens.length);
    const packed = await logits(model, { tokens, images, lengths });
    assertNear(packed, Float32Array.from([...alone[0]!, ...alone[1]!, ...alone[1]!]));
  });
});

testOnDevices("images that do not fit their tokens are refused", async (backend) => {
  await withModel(backend, async (model, [text, { tokens, images }]) => {
    const image = images[0]!, [t, h, w] = image.grid;
    const refused = (input: ForwardInput, message: RegExp) =>
      assert.throws(() => {
        using _scope = backend.scope();
        model.forward(input);
      }, (error) => error instanceof ShapeError && message.test(error.message));
    refused({ ...text, images }, /tokens \d+ in a row for image 0/);
    refused({ tokens, images: [image, image] }, /for image 1/);
    refused({ tokens, images: [{ ...image, grid: [t, h, w + 1] }] }, /multiples of \d/);
    refused({ tokens, images: [{ ...image, grid: [t, h, 0] }] }, /multiples of \d/);
    refused({ tokens, images: [{ ...image, pixels: image.pixels.subarray(1) }] }, /numbers for a grid of/);
    using uploaded = backend.from(tokens, [tokens.length]);
    refused({ tokens: uploaded, images }, /plain memory/);
    const inside = tokens.indexOf(imageToken(model)) + 1;
    refused({ tokens, images, lengths: [inside, tokens.length - inside] }, /image 0 in one sequence/);
    await Promise.resolve();
  });
});

testOnDevices("a model that reads text only refuses images", async (backend) => {
  const name = casesOf("verifiers").find((name) => name.startsWith("llama") || name.startsWith("qwen2"))!;
  using opened = await openVerifier(golden("verifiers", name), { registry });
  using model = await opened.load(backend);
  const images: ImagePatches[] = [{ pixels: new Float32Array(4), grid: [1, 1, 1] }];
  assert.throws(() => {
    using _scope = backend.scope();
    model.forward({ tokens: Int32Array.of(1), images });
  }, /expected no images, received 1/);
});
