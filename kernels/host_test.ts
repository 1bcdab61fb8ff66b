import assert from "node:assert/strict";
import { ShapeError } from "../core/errors.ts";
import type { DType, FileDType } from "../core/tensor.ts";
import { asTyped, bf16Bits, f16Bits, toHeld } from "./host.ts";

function host(dtype: FileDType, data: ArrayBufferView, count: number) {
  return { dtype, shape: [count], bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function numbers(dtype: DType, bytes: Uint8Array, count: number): number[] {
  return [...asTyped(dtype, bytes.slice().buffer, count)];
}

Deno.test("A bfloat16 is the nearest one, ties to even, and not a number stays one", () => {
  assert.equal(bf16Bits(1), 0x3f80);
  assert.equal(bf16Bits(1 + 2 ** -8), 0x3f80);
  assert.equal(bf16Bits(1 + 3 * 2 ** -8), 0x3f82);
  assert.equal(bf16Bits(3.4e38), 0x7f80);
  assert.equal(bf16Bits(-Infinity), 0xff80);
  assert.equal(bf16Bits(NaN) & 0x7fff, 0x7fc0);
});

Deno.test("A half is the nearest one, subnormal ones too", () => {
  assert.equal(f16Bits(1 + 2 ** -11), 0x3c00);
  assert.equal(f16Bits(1 + 3 * 2 ** -11), 0x3c02);
  assert.equal(f16Bits(2 ** -24), 1);
  assert.equal(f16Bits(65520), 0x7c00);
});

Deno.test("What a backend cannot hold becomes the nearest dtype it can", () => {
  const doubles = toHeld(host("f64", Float64Array.of(0.1, -2), 2));
  assert.equal(doubles.dtype, "f32");
  assert.deepEqual(numbers("f32", doubles.bytes, 2), [Math.fround(0.1), -2]);
  const long = toHeld(host("i64", BigInt64Array.of(-3n, 9n), 2));
  assert.equal(long.dtype, "i32");
  assert.deepEqual(numbers("i32", long.bytes, 2), [-3, 9]);
  assert.equal(toHeld(host("bool", Uint8Array.of(1, 0), 2)).dtype, "u8");
});

Deno.test("A host tensor of the dtype asked for is passed on as it is", () => {
  const data = host("f32", Float32Array.of(1, 2), 2);
  assert.equal(toHeld(data).bytes, data.bytes);
});

Deno.test("Data that does not fill its shape, or does not fit its dtype, is refused", () => {
  assert.throws(() => toHeld(host("f32", Float32Array.of(1), 2)), ShapeError);
  assert.throws(() => toHeld(host("i64", BigInt64Array.of(2n ** 31n), 1)), /received 2147483648 at 0/);
  assert.throws(() => toHeld(host("i32", Int32Array.of(256), 1), "u8"), ShapeError);
});
