import assert from "node:assert/strict";
import { DeviceError } from "../core/errors.ts";
import { open, probe } from "./mod.ts";

Deno.test("A probe tells what each backend has and takes the one that suits", async () => {
  const { webgpu, wasm, chosen, why } = await probe();
  assert.ok(wasm.threads >= 1 && (wasm.sharedMemory || wasm.threads === 1));
  assert.ok(why.length > 0);
  assert.equal(chosen, webgpu.available && !webgpu.isFallbackAdapter ? "webgpu" : "wasm");
  if (!webgpu.available) return assert.match(webgpu.reason!, /adapter/);
  assert.equal(webgpu.reason, null);
  assert.ok(webgpu.limits!.maxStorageBufferBindingSize! >= 128 << 20);
  assert.ok(webgpu.description!.length > 0);
});

Deno.test("auto opens what the probe takes", async () => {
  using backend = await open("auto");
  assert.equal(backend.name, (await probe()).chosen);
});

Deno.test("Without an adapter auto takes WASM, and WebGPU is refused with what to do", async () => {
  const program = `
    const { open, probe } = await import(${JSON.stringify(import.meta.resolve("./mod.ts"))});
    const { webgpu, chosen, why } = await probe();
    using backend = await open("auto");
    const error = await open("webgpu").catch((error) => error);
    const { name, message, hint } = error;
    console.log(JSON.stringify({ webgpu, chosen, why, taken: backend.name, error: { name, message, hint } }));`;
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", program],
    // Direct3D is on no machine but Windows, where another name is as good.
    env: { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" },
  }).output();
  assert.ok(success);
  const found = JSON.parse(new TextDecoder().decode(stdout));
  assert.deepEqual(found.webgpu, { available: false, reason: "The platform has no GPU adapter" });
  assert.deepEqual([found.chosen, found.taken], ["wasm", "wasm"]);
  assert.equal(found.error.name, DeviceError.name);
  assert.match(found.error.message, /^Cannot open WebGPU: expected a GPU adapter, received none$/);
  assert.match(found.error.hint, /mesa-vulkan-drivers.*--device wasm/);
});
