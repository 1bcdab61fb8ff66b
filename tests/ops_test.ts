import { DeviceError } from "../core/errors.ts";
import type { Backend } from "../core/tensor.ts";
import { open } from "../kernels/mod.ts";
import { CUSTOM_OP } from "./conformance/custom_op.ts";
import { backendSuite, comparisonSuite } from "./conformance/mod.ts";

/** Why WebGPU cannot be tested here; `null` if it can. */
async function whyNot(): Promise<string | null> {
  try {
    using _backend = await open("webgpu");
    return null;
  } catch (error) {
    if (error instanceof DeviceError) return error.message;
    throw error;
  }
}

const reason = await whyNot();
// deno-lint-ignore no-console -- whoever runs the tests must see why half of them are not.
if (reason) console.log(`The WebGPU half is ignored: ${reason}`);

const wasm = (): Promise<Backend> => open("wasm");
const webgpu = (): Promise<Backend> => open("webgpu");

/** The build for machines without shared memory: opened as if this were one. */
async function unshared(): Promise<Backend> {
  const shared = Object.getOwnPropertyDescriptor(globalThis, "SharedArrayBuffer")!;
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  try {
    return await open("wasm");
  } finally {
    Object.defineProperty(globalThis, "SharedArrayBuffer", shared);
  }
}

/** Registers tests that need a GPU adapter; without one they count as ignored. */
function onGpu(name: string, run: () => Promise<void>): void {
  Deno.test({ name, fn: run, ignore: reason !== null });
}

const ops = [CUSTOM_OP];

backendSuite("wasm", wasm, { ops });
comparisonSuite("one thread and several", [() => open("wasm", { threads: 1 }), wasm], { ops });
comparisonSuite("wasm with and without shared memory", [unshared, wasm], { ops });
backendSuite("webgpu", webgpu, { test: onGpu, ops });
comparisonSuite("wasm and webgpu", [wasm, webgpu], { test: onGpu, ops });
