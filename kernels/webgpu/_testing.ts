/** Registers tests that need a GPU adapter, with the reason printed where there is none. */
import { requestAdapter } from "./device.ts";

const adapter = await requestAdapter();
// deno-lint-ignore no-console -- whoever runs the tests must see why some of them are not.
if (!adapter) console.log("Tests on WebGPU are ignored: the platform has no GPU adapter");

/** A test that needs an adapter. */
export function onGpu(name: string, run: () => Promise<void>): void {
  Deno.test({ name, fn: run, ignore: adapter === null });
}
