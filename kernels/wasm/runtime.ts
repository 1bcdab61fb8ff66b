/** The instantiated kernels and their memory: one of each build in a process, shared by all its backends. */
import { DeviceError } from "../../core/errors.ts";
import type { InitOutput } from "../lib/threads.js";

/** What both builds export. */
type Exports =
  & Pick<
    InitOutput,
    "memory" | "memory_take" | "memory_give" | "pool_new" | "pool_args" | "pool_launch"
  >
  & Partial<InitOutput>;

/** Alignment of every block of memory. */
const ALIGN = 64;

/** Exports of the crate, with the addresses as JavaScript wants them. */
export class Runtime {
  /** The crate's exports. */
  readonly exports: Exports;
  /** What a worker instantiates on the same memory; absent where memory is not shared. */
  readonly module: WebAssembly.Module | undefined;
  /** Number of each kernel. */
  readonly kernels: ReadonlyMap<string, number>;

  /** @param names the kernels' names, joined by commas */
  constructor(exports: Exports, names: string, module?: WebAssembly.Module) {
    this.exports = exports;
    this.module = module;
    this.kernels = new Map(names.split(",").map((name, i) => [name, i]));
  }

  /** The memory as it is now: growing it makes older views short or empty. */
  get buffer(): ArrayBufferLike {
    return this.exports.memory.buffer;
  }

  /**
   * Address of new memory.
   *
   * @throws {DeviceError} when there is none left
   */
  take(bytes: number, zeroed: boolean): number {
    if (bytes === 0) return ALIGN;
    const address = bytes < 2 ** 31 ? this.exports.memory_take(bytes, zeroed ? 1 : 0) >>> 0 : 0;
    if (address !== 0) return address;
    throw new DeviceError(
      `Cannot reserve memory: expected room for ${bytes} bytes, received none of the 4 GiB that WebAssembly can address`,
      {
        hint:
          'Use shorter sequences or smaller batches, keep weights in bf16, or run on a GPU ("--device webgpu")',
      },
    );
  }

  /** Gives memory back. */
  give(address: number, bytes: number): void {
    if (bytes > 0) this.exports.memory_give(address, bytes);
  }
}

let shared: Promise<Runtime> | undefined, single: Promise<Runtime> | undefined;

async function loadShared(): Promise<Runtime> {
  const [glue, { default: module }] = await Promise.all([
    import("../lib/threads.js"),
    import("../lib/threads_module.js"),
  ]);
  const exports = glue.initSync({ module });
  return new Runtime(exports, glue.kernel_names(), module);
}

async function loadSingle(): Promise<Runtime> {
  const [glue, { default: module }] = await Promise.all([
    import("../lib/single.js"),
    import("../lib/single_module.js"),
  ]);
  return new Runtime(glue.initSync({ module }), glue.kernel_names());
}

/**
 * The build with shared memory, or the plain one, instantiated once.
 *
 * @throws {DeviceError} when this machine cannot run it
 */
export async function loadRuntime(kind: "shared" | "single"): Promise<Runtime> {
  try {
    return await (kind === "shared" ? shared ??= loadShared() : single ??= loadSingle());
  } catch (cause) {
    throw new DeviceError(
      `Cannot start the ${kind} WebAssembly kernels: ${cause instanceof Error ? cause.message : cause}`,
      { hint: "WebAssembly with SIMD and room for its memory is needed", cause },
    );
  }
}
