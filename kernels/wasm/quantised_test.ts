import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ShapeError } from "../../core/errors.ts";
import { dequantise, type QuantisedType } from "./quantised.ts";

interface Layout {
  readonly entries: number;
  readonly bytes: number;
  /** Where the numbers of half precision stand. */
  readonly halves: readonly number[];
  /** Entry i of a block, by the definition in ggml-common.h; every operation rounds to f32. */
  readonly entry: (block: DataView, i: number) => number;
  /** SHA-256 of what the Python package gguf 0.19 makes of five blocks. */
  readonly digest: string;
}

const f32 = Math.fround;
const nibble = (byte: number, upper: boolean) => upper ? byte >> 4 : byte & 15;
const half = (block: DataView, at: number) => block.getFloat16(at, true);

/** Six-bit scale and minimum of sub-block j. */
function scaleMin(block: DataView, j: number): [number, number] {
  const byte = (i: number) => block.getUint8(4 + i);
  return j < 4
    ? [byte(j) & 63, byte(j + 4) & 63]
    : [byte(j + 4) & 15 | byte(j - 4) >> 6 << 4, byte(j + 4) >> 4 | byte(j) >> 6 << 4];
}

function withMinimum(block: DataView, sub: number, q: number): number {
  const [scale, least] = scaleMin(block, sub);
  return f32(f32(f32(half(block, 0) * scale) * q) - f32(half(block, 2) * least));
}

const LAYOUTS: Readonly<Record<QuantisedType, Layout>> = {
  q4_0: {
    entries: 32,
    bytes: 18,
    halves: [0],
    entry: (block, i) => f32((nibble(block.getUint8(2 + i % 16), i >= 16) - 8) * half(block, 0)),
    digest: "5ba8603ab7b3a3a73071355ddd963432271e29c2ee2ffae5189e1f7503ac1e6e",
  },
  q4_1: {
    entries: 32,
    bytes: 20,
    halves: [0, 2],
    entry: (block, i) =>
      f32(f32(nibble(block.getUint8(4 + i % 16), i >= 16) * half(block, 0)) + half(block, 2)),
    digest: "e615b403fcd31aca91752bbfc5a89eb0bb9eba75fd77a8420e76cd0e9543e50d",
  },
  q8_0: {
    entries: 32,
    bytes: 34,
    halves: [0],
    entry: (block, i) => f32(block.getInt8(2 + i) * half(block, 0)),
    digest: "93f2df2c8fe20f8c674202f838bf04c440cbfbc0e011ee28ebe37aacb8d06f10",
  },
  q4_k: {
    entries: 256,
    bytes: 144,
    halves: [0, 2],
    entry: (block, i) => {
      const byte = block.getUint8(16 + 32 * (i >> 6) + i % 32);
      return withMinimum(block, i >> 5, nibble(byte, (i >> 5) % 2 === 1));
    },
    digest: "17551898ffb668cce15620542f2a303bbb5c3f5761bdfe2e55d52323740a903a",
  },
  q5_k: {
    entries: 256,
    bytes: 176,
    halves: [0, 2],
    entry: (block, i) => {
      const sub = i >> 5, low = nibble(block.getUint8(48 + 32 * (i >> 6) + i % 32), sub % 2 === 1);
      return withMinimum(block, sub, low + 16 * (block.getUint8(16 + i % 32) >> sub & 1));
    },
    digest: "af63ecb09d793af465e9685963c756991b3c737c765307a829295b06d1cf44a7",
  },
  q6_k: {
    entries: 256,
    bytes: 210,
    halves: [208],
    entry: (block, i) => {
      const part = i >> 7, quarter = i >> 5 & 3, l = i % 32;
      const low = nibble(block.getUint8(64 * part + 32 * (quarter % 2) + l), quarter >= 2);
      const high = block.getUint8(128 + 32 * part + l) >> 2 * quarter & 3;
      const scale = f32(half(block, 208) * block.getInt8(192 + (i >> 4)));
      return f32(scale * (low + 16 * high - 32));
    },
    digest: "247d4f71604da95fff402272b1201bb87ef10ab31224040d5028205658f83b2c",
  },
};

/** Blocks of every bit pattern in turn, the numbers of half precision kept finite. */
function blocks(type: QuantisedType, count: number): Uint8Array {
  const { bytes, halves } = LAYOUTS[type];
  const all = Uint8Array.from({ length: count * bytes }, (_, i) => Math.imul(i, 2654435761) >>> 13);
  for (let i = 0; i < count; i++) {
    for (const at of halves) all[i * bytes + at + 1] = all[i * bytes + at + 1]! & 0x83 | 0x30;
  }
  return all;
}

for (const [name, { entries, bytes, entry, digest }] of Object.entries(LAYOUTS)) {
  const type = name as QuantisedType;

  Deno.test(`${type} is widened as its definition says, bit for bit`, () => {
    const source = blocks(type, 40_960 / entries), target = new Float32Array(source.length / bytes * entries);
    dequantise(type, source, target);
    const expected = Float32Array.from(target, (_, i) => {
      return entry(new DataView(source.buffer, Math.floor(i / entries) * bytes, bytes), i % entries);
    });
    assert.deepEqual(target, expected);
  });

  Deno.test(`${type} is widened to what ggml's own package has`, () => {
    const target = new Float32Array(5 * entries);
    dequantise(type, blocks(type, 5), target);
    assert.equal(createHash("sha256").update(new Uint8Array(target.buffer)).digest("hex"), digest);
  });
}

Deno.test("the memory of one call serves the next, and more than one part is whole", () => {
  const source = blocks("q8_0", 1025), target = new Float32Array(1025 * 32);
  dequantise("q8_0", source, target);
  const again = new Float32Array(32);
  dequantise("q8_0", source.subarray(1024 * 34), again);
  assert.deepEqual(target.subarray(1024 * 32), again);
});

Deno.test("what is no whole block, or does not fill the target, is refused", () => {
  assert.throws(() => dequantise("q8_0", new Uint8Array(33), new Float32Array(32)), ShapeError);
  assert.throws(() => dequantise("q6_k", new Uint8Array(210), new Float32Array(255)), /received 210 for 255/);
});
