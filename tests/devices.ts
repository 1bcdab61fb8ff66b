/** The backends that tests run on: WASM always, WebGPU where there is an adapter. */
import { DeviceError } from "../core/errors.ts";
import type { Backend } from "../core/tensor.ts";
import { open } from "../kernels/mod.ts";

/** A backend to test on. */
export interface Device {
  /** For the tests' names. */
  readonly name: string;
  /** Opens it; each test opens, and disposes of, its own. */
  open(): Promise<Backend>;
  /** Why it is left out, if it is. */
  readonly skip?: string;
}

/** Why WebGPU cannot be tested here; `null` when it can. */
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
if (reason !== null) console.log(`The WebGPU half is ignored: ${reason}`);

/** All of them. */
export function devices(): readonly Device[] {
  return [
    { name: "wasm", open: () => open("wasm") },
    { name: "webgpu", open: () => open("webgpu"), ...(reason === null ? {} : { skip: reason }) },
  ];
}

/** Registers a test for each device; one that is not there counts as ignored. */
export function testOnDevices(name: string, run: (backend: Backend) => Promise<void>): void {
  for (const device of devices()) {
    Deno.test({
      name: `${name} on ${device.name}`,
      ignore: device.skip !== undefined,
      async fn() {
        using backend = await device.open();
        await run(backend);
      },
    });
  }
}
