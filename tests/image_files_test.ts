/** Image files against Pillow and transformers' processors: decoded, resampled, made to patches. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { crc32, deflateSync } from "node:zlib";
import { FormatError } from "../core/errors.ts";
import { toFloat32, toInt32 } from "../core/formats/dtype.ts";
import type { TensorSource } from "../core/formats/source.ts";
import { openWeights } from "../core/formats/weights.ts";
import { decodeImage } from "../core/images/decode.ts";
import { readImage } from "../core/images/read.ts";
import type { Raster } from "../core/plugin.ts";
import { qwenImages } from "../plugins/_shared/qwen_images.ts";
import { golden, goldenJson } from "./golden.ts";

interface Case {
  readonly file: string;
  readonly coarse_colours: boolean;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Rounding to f32, of the processor's rescaling and of ours. */
const PIXELS = 1e-6;

/** Levels of 255 by which decoders of JPEG differ that round cosines in their own ways. */
const JPEG_LEVELS = 4;

/** The same where colours are stored at half the size: libjpeg blends those of neighbours, jpeg-js repeats them. */
const COARSE_LEVELS = 40;

const { cases } = goldenJson<{ cases: Record<string, Case> }>("images", "index.json");

async function expectedRaster(expected: TensorSource, name: string): Promise<Raster> {
  const { shape, bytes } = await expected.read(`${name}.rgb`);
  return { width: shape[1]!, height: shape[0]!, rgb: bytes };
}

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  return Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

for (const [name, { file, config, coarse_colours }] of Object.entries(cases)) {
  Deno.test(`image ${name} is decoded as Pillow does`, async () => {
    using expected = await openWeights(golden("images", "expected.safetensors"));
    const wanted = await expectedRaster(expected, name), found = await readImage(golden("images", file));
    assert.deepEqual([found.width, found.height], [wanted.width, wanted.height]);
    const apart = furthest(found.rgb, wanted.rgb);
    const most = file.endsWith(".png") ? 0 : coarse_colours ? COARSE_LEVELS : JPEG_LEVELS;
    assert.ok(apart <= most, `${apart} levels`);
  });

  Deno.test(`image ${name} becomes the patches of transformers' processors`, async () => {
    using expected = await openWeights(golden("images", "expected.safetensors"));
    const own = {
      token: 0,
      patch: config["patch_size"] as number,
      frames: config["temporal_patch_size"] as number,
      merge: config["merge_size"] as number,
    };
    const image = await expectedRaster(expected, name);
    const found = qwenImages(own, "model").prepare(image, config);
    assert.deepEqual(found.grid, Array.from(toInt32(await expected.read(`${name}.grid`))));
    const pillow = toFloat32(await expected.read(`${name}.slow`));
    const torchvision = toFloat32(await expected.read(`${name}.fast`));
    // The same levels as Pillow's; torchvision's weights have fewer bits, so that a level may be the next one.
    assert.ok(furthest(found.pixels, pillow) <= PIXELS);
    const level = 1 / 255 / Math.min(...config["image_std"] as number[]);
    assert.ok(furthest(found.pixels, torchvision) <= level + PIXELS);
  });
}

async function refused(bytes: Uint8Array, message: RegExp): Promise<void> {
  await assert.rejects(
    decodeImage(bytes, "picture"),
    (error) => error instanceof FormatError && message.test(error.message),
  );
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length);
  bytes.write(type, 4, "latin1");
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** A PNG file of greys whose rows are given. */
function png(width: number, height: number, rows: Uint8Array): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", new Uint8Array(0))];
  return Buffer.concat([signature, ...parts]);
}

Deno.test("bytes that are no image are refused", async () => {
  await refused(new Uint8Array(0), /expected a PNG or JPEG image, received no bytes/);
  await refused(new TextEncoder().encode("GIF89a and so on"), /received bytes that begin 47 49 46/);
  await refused(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 1, 2, 3), /expected a JPEG image/);
  await refused(png(2, 1, Uint8Array.of(0, 7, 9)).subarray(0, 40), /cut at byte 33/);
});

Deno.test("an image that unpacks to more than it says, or is too large, is refused", async () => {
  const small = await decodeImage(png(2, 1, Uint8Array.of(0, 7, 9)), "picture");
  assert.deepEqual(small, { width: 2, height: 1, rgb: Uint8Array.of(7, 7, 7, 9, 9, 9) });
  await refused(png(2, 1, new Uint8Array(1 << 22)), /expected a PNG image/);
  await refused(png(1 << 20, 1 << 20, Uint8Array.of(0)), /pixels, received 1048576 × 1048576/);
  await refused(png(0, 1, Uint8Array.of(0)), /received 0 × 1/);
  const broken = png(2, 1, Uint8Array.of(0, 7, 9));
  broken[45]! ^= 0xff;
  await refused(broken, /expected a PNG image/);
});

Deno.test("every cut of a file is an image or refused, never another error", async () => {
  for (const { file } of Object.values(cases)) {
    const bytes = await Deno.readFile(golden("images", file));
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 9)) {
      const flipped = bytes.slice();
      flipped[at]! ^= 0x55;
      for (const some of [bytes.subarray(0, at), flipped]) {
        await decodeImage(some, file).catch((error) =>
          assert.ok(error instanceof FormatError, String(error))
        );
      }
    }
  }
});

Deno.test("images come from files and data: URLs, not from the net", async () => {
  const bytes = png(2, 1, Uint8Array.of(0, 7, 9));
  const found = await readImage(`data:image/png;base64,${Buffer.from(bytes).toString("base64")}`);
  assert.deepEqual(found.rgb, Uint8Array.of(7, 7, 7, 9, 9, 9));
  await assert.rejects(readImage("https://example.com/a.png"), /expected a local file or a data: URL/);
  await assert.rejects(readImage("data:image/png,abc"), /in base64/);
});

Deno.test("a processor's config that cannot be used is refused", () => {
  const reader = qwenImages({ token: 0, patch: 4, frames: 2, merge: 2 }, "model");
  const image: Raster = { width: 9, height: 12, rgb: new Uint8Array(3 * 9 * 12) };
  const config = { size: { shortest_edge: 256, longest_edge: 1024 } };
  assert.deepEqual(reader.prepare(image, config).grid, [1, 6, 4]);
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ patch_size: 5 }, /preprocessor_config.json: patch_size": expected 4/],
    [{ image_std: [0, 1, 1] }, /image_std": expected three numbers/],
    [{ do_resize: false }, /do_resize": expected true/],
    [{ min_pixels: 5000 }, /fewer pixels at least than at most, received 5000 and 1024/],
  ];
  for (const [more, message] of wrong) {
    assert.throws(() => reader.prepare(image, { ...config, ...more }), message);
  }
  const thin: Raster = { width: 1, height: 201, rgb: new Uint8Array(3 * 201) };
  assert.throws(() => reader.prepare(thin, config), /at most 200 to 1, received 1 × 201/);
});
