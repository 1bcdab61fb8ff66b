/** What the ops' calls into the Rust crate share. */
import type { Attrs, DType, Shape, Tensor, WasmCall } from "../../core/tensor.ts";

/** An op's `wasm` member. */
export type Wasm<A extends Attrs> = (
  call: WasmCall,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  attrs: A,
) => void;

/** How kernels name dtypes. */
export const DTYPE_CODE: Readonly<Record<DType, number>> = {
  f32: 0,
  bf16: 1,
  f16: 2,
  i32: 3,
  u8: 4,
  q8_0: 5,
  q4_0: 6,
  q4_1: 7,
};

/** Entries that are worth a thread's while: some microseconds of simple work. */
export const ENTRIES = 16384;

/** Rows of some width that are worth a thread's while. */
export function rowGrain(width: number, entries: number = ENTRIES): number {
  return Math.max(1, Math.floor(entries / Math.max(1, width)));
}

/** Working memory of any content for this call; the CPU backend keeps one block for it, others may clear theirs. */
export function workspace(call: WasmCall, bytes: number): number {
  const kept = call as WasmCall & { workspace?(bytes: number): number };
  return kept.workspace ? kept.workspace(bytes) : call.scratch(bytes);
}

/** Bytes rounded up to whole cache lines. */
export function lines(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** Product of the axes from `start` to `end − 1`. */
export function product(shape: Shape, start = 0, end: number = shape.length): number {
  let n = 1;
  for (let i = start; i < end; i++) n *= shape[i]!;
  return n;
}
