/** What WebAssembly can use on this machine. */

/** Threads and instructions for the WASM backend. */
export interface WasmFeatures {
  /** Cores that threads can run on; 1 without shared memory. */
  readonly threads: number;
  /** Memory can be shared between threads. */
  readonly sharedMemory: boolean;
  /** Fused multiply-add and the other relaxed instructions on 128 bits. */
  readonly relaxedSimd: boolean;
}

/** A module whose one function is `f32x4.relaxed_madd` of three parameters. */
const RELAXED_MADD = [
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b], // (v128, v128, v128) → v128
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b],
];

/** Looks; compiles nothing and starts nothing. */
export function features(): WasmFeatures {
  const sharedMemory = typeof SharedArrayBuffer === "function" && typeof Worker === "function";
  return {
    threads: sharedMemory ? Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1) : 1,
    sharedMemory,
    relaxedSimd: WebAssembly.validate(Uint8Array.from(RELAXED_MADD)),
  };
}
