/**
 * The CPU backend: kernels in Rust, compiled to WebAssembly with SIMD, on all threads of the machine.
 *
 * @module
 */
import { ConfigError } from "../../core/errors.ts";
import type { Backend } from "../../core/tensor.ts";
import { WasmBackend } from "./backend.ts";
import { canShare } from "./features.ts";
import { Pool } from "./pool.ts";
import { loadRuntime, type Runtime } from "./runtime.ts";

/** How to open the backend. */
export interface WasmOptions {
  /** Threads, with the caller: as many as the machine has if absent. */
  readonly threads?: number;
}

/** Most threads that the pool starts. */
const MOST_THREADS = 64;

/** The best build this machine runs. */
async function runtime(): Promise<Runtime> {
  if (!canShare()) return await loadRuntime("single");
  try {
    return await loadRuntime("shared");
  } catch { // the address space for shared memory may be refused
    return await loadRuntime("single");
  }
}

/**
 * Opens the CPU backend. Without shared memory, relaxed SIMD or workers it computes the same on one thread.
 *
 * @throws {ConfigError} when `threads` is not a whole number from 1 on
 * @throws {DeviceError} when WebAssembly with SIMD is missing
 */
export async function openWasm(options: WasmOptions = {}): Promise<Backend> {
  const { threads = navigator.hardwareConcurrency } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new ConfigError("threads", `expected a whole number from 1 on, received ${threads}`);
  }
  const kernels = await runtime();
  const pool = new Pool(kernels, typeof Worker === "function" ? Math.min(threads, MOST_THREADS) : 1);
  await pool.start();
  return new WasmBackend(kernels, pool);
}
