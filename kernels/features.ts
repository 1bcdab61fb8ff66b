/** What the CPU backend can use on this machine. */
import { canShare } from "./wasm/features.ts";

/** Threads and instructions for the WASM backend. */
export interface WasmFeatures {
  /** Cores that threads can run on; 1 without shared memory. */
  readonly threads: number;
  /** Threads can work on one memory. */
  readonly sharedMemory: boolean;
  /** Fused multiply-add and the other relaxed instructions on 128 bits. */
  readonly relaxedSimd: boolean;
}

/** A module whose one function is `f32x4.relaxed_madd` of its parameters. */
// deno-fmt-ignore
const RELAXED_MADD: Uint8Array<ArrayBuffer> = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
  0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b, // type: (v128, v128, v128) -> v128
  0x03, 0x02, 0x01, 0x00, // one function of that type
  0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b, // its code
);

/** Looks; compiles nothing and starts nothing. */
export function features(): WasmFeatures {
  const sharedMemory = canShare() && typeof Worker === "function";
  return {
    threads: sharedMemory ? navigator.hardwareConcurrency : 1,
    sharedMemory,
    relaxedSimd: WebAssembly.validate(RELAXED_MADD),
  };
}
