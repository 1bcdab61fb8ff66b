import assert from "node:assert/strict";
import { SpeculatorsError } from "../errors.ts";
import type { FileDType } from "../tensor.ts";
import { convert, hostTensor, toFloat32, toInt32, toUint8 } from "./dtype.ts";
import { fc } from "./_fast_check.ts";

const DTYPES: readonly FileDType[] = [
  ...["f64", "f32", "bf16", "f16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool"] as const,
];

function bits(value: number, dtype: "bf16" | "f16"): number {
  const { bytes } = convert(hostTensor(Float64Array.of(value), [1]), dtype);
  return bytes[0]! | bytes[1]! << 8;
}

Deno.test("f64 rounds to bf16 once, to nearest, ties to even", () => {
  const cases: readonly (readonly [number, number])[] = [
    [1, 0x3f80],
    [1 + 2 ** -8, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [1 + 2 ** -8 + 2 ** -40, 0x3f81],
    [1 + 3 * 2 ** -8 - 2 ** -40, 0x3f81],
    [-(1 + 2 ** -8 + 2 ** -40), 0xbf81],
    [-0, 0x8000],
    [3.4e38, 0x7f80],
    [3.39e38, 0x7f7f],
    [Infinity, 0x7f80],
    [-Infinity, 0xff80],
    [NaN, 0x7fc0],
    [2 ** -133, 0x0001],
    [2 ** -134, 0x0000],
    [257, 0x4380],
  ];
  for (const [value, expected] of cases) assert.equal(bits(value, "bf16"), expected, `${value}`);
});

Deno.test("f64 rounds to f16 once, to nearest, ties to even, with its small numbers", () => {
  const cases: readonly (readonly [number, number])[] = [
    [1, 0x3c00],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 + 2 ** -60, 0x0001],
    [1 + 2 ** -11, 0x3c00],
    [1 + 2 ** -11 + 2 ** -50, 0x3c01],
    [-0, 0x8000],
    [NaN, 0x7e00],
  ];
  for (const [value, expected] of cases) assert.equal(bits(value, "f16"), expected, `${value}`);
});

Deno.test("all 65536 bf16 and f16 bits widen to f32 and come back", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  for (const dtype of ["bf16", "f16"] as const) {
    const narrow = hostTensor(all, [65536], dtype);
    const wide = toFloat32(narrow);
    const back = new Uint16Array(convert(hostTensor(wide, [65536]), dtype).bytes.buffer);
    for (let i = 0; i < 65536; i++) {
      if (!Number.isNaN(wide[i]!)) assert.equal(back[i], i);
    }
  }
});

Deno.test("a bf16 is never further from a number than its neighbours are", () => {
  fc.assert(fc.property(fc.double({ min: -1e38, max: 1e38, noNaN: true }), (value) => {
    const at = bits(value, "bf16");
    const error = (b: number) => Math.abs(toFloat32(hostTensor(Uint16Array.of(b), [1], "bf16"))[0]! - value);
    for (const other of [at + 1, at - 1]) {
      if ((other & 0x7fff) < 0x7f80 && other >= 0) assert.ok(error(at) <= error(other));
    }
  }));
});

Deno.test("64-bit integers round to f32 once", () => {
  // 2^60 + 2^36 + 1 lies just above the middle of two f32; f64 would lose the 1 and round the tie to even.
  const values = BigInt64Array.of(
    2n ** 60n + 2n ** 36n + 1n,
    -(2n ** 60n + 2n ** 36n + 1n),
    2n ** 60n + 2n ** 36n,
  );
  const [up, down, tie] = toFloat32(hostTensor(values, [3]));
  assert.equal(up, 2 ** 60 + 2 ** 37);
  assert.equal(down, -(2 ** 60 + 2 ** 37));
  assert.equal(tie, 2 ** 60);
});

Deno.test("integers that do not fit are refused with their value and place", () => {
  const refused: readonly [Parameters<typeof hostTensor>[0], FileDType][] = [
    [BigInt64Array.of(0n, 2n ** 31n), "i32"],
    [BigInt64Array.of(0n, -1n), "u64"],
    [Int32Array.of(0, 256), "u8"],
    [Float32Array.of(0, 0.5), "i32"],
    [Float32Array.of(0, NaN), "i64"],
    [Float64Array.of(0, 2 ** 63), "i64"],
    [BigUint64Array.of(0n, 2n ** 63n), "i64"],
  ];
  for (const [data, dtype] of refused) {
    assert.throws(
      () => convert(hostTensor(data, [2]), dtype),
      (error) =>
        error instanceof SpeculatorsError && error.code === "E_RANGE" && / at 1$/.test(error.message) &&
        error.message.includes(dtype),
    );
  }
});

Deno.test("small integers pass through every pair of types unchanged", () => {
  for (const from of DTYPES) {
    for (const to of DTYPES) {
      const start = hostTensor(Int32Array.of(0, 1, 1, 0), [2, 2], from);
      const end = convert(start, to);
      assert.equal(end.dtype, to);
      assert.deepEqual([...toInt32(end)], [0, 1, 1, 0], `${from} to ${to}`);
    }
  }
});

Deno.test("i64 to i32 and back keeps every 32-bit integer", () => {
  fc.assert(fc.property(fc.int32Array({ maxLength: 20 }), (values) => {
    const wide = convert(hostTensor(values, [values.length]), "i64");
    assert.deepEqual(toInt32(wide), values);
  }));
});

Deno.test("bytes that are not aligned are read all the same, and a wrong length is refused", () => {
  const bytes = new Uint8Array(9).subarray(1);
  bytes.set(new Uint8Array(Float32Array.of(1.5, -2).buffer));
  assert.deepEqual([...toFloat32({ shape: [2], dtype: "f32", bytes })], [1.5, -2]);
  assert.throws(() => toFloat32({ shape: [3], dtype: "f32", bytes }), /expected 12 bytes, received 8/);
  assert.throws(() => hostTensor(new Float32Array(3), [2, 2]), /expected 4 elements, received 3/);
});

Deno.test("a bool is zero or one, from any number", () => {
  const bool = convert(hostTensor(Float32Array.of(0, -0, 2, NaN), [4]), "bool");
  assert.deepEqual([...toUint8(bool)], [0, 0, 1, 1]);
});
