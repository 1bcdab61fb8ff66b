/** What an op's `wasm` member works with. */
import { DeviceError } from "../../core/errors.ts";
import {
  BYTES,
  type DType,
  isBlocks,
  type Tensor,
  type TypedArray,
  type WasmCall,
} from "../../core/tensor.ts";
import type { Pool } from "./pool.ts";
import type { Runtime } from "./runtime.ts";
import type { WasmTensor } from "./tensor.ts";

/** Largest workspace that is kept between calls. */
const KEPT = 64 << 20;

/** A typed array over memory. */
function viewOf(buffer: ArrayBufferLike, address: number, count: number, dtype: DType): TypedArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(buffer, address, count);
    case "i32":
      return new Int32Array(buffer, address, count);
    case "u8":
      return new Uint8Array(buffer, address, count);
    default:
      return new Uint16Array(buffer, address, count);
  }
}

/** Launches kernels, and lends memory until the op returns. */
export class Call implements WasmCall {
  /** Threads a launch may use. */
  readonly threads: number;
  readonly #runtime: Runtime;
  readonly #pool: Pool;
  readonly #lent: { address: number; bytes: number }[] = [];
  #work = { address: 0, bytes: 0 };

  constructor(runtime: Runtime, pool: Pool) {
    this.#runtime = runtime;
    this.#pool = pool;
    this.threads = pool.threads;
  }

  /** Where a tensor's data begins. */
  address(tensor: Tensor): number {
    return (tensor as WasmTensor).address;
  }

  /** A tensor's data, valid until memory is reserved again. */
  view(tensor: Tensor): TypedArray {
    const { address, bytes, dtype } = tensor as WasmTensor;
    const held = isBlocks(dtype) ? "u8" : dtype;
    return viewOf(this.#runtime.buffer, address, bytes / BYTES[held], held);
  }

  /** Zeroed memory until the op returns. */
  scratch(bytes: number): number {
    const address = this.#runtime.take(bytes, true);
    this.#lent.push({ address, bytes });
    return address;
  }

  /** Memory with any content, one block a call: the same one is lent again and again. */
  workspace(bytes: number): number {
    if (bytes > this.#work.bytes) {
      this.#drop();
      const size = Math.max(bytes, 1 << 20);
      this.#work = { address: this.#runtime.take(size, false), bytes: size };
    }
    return this.#work.address;
  }

  /** Runs a kernel over items in blocks of `grain`, and waits. */
  launch(kernel: string, args: readonly number[], items: number, grain = 1): void {
    const number = this.#runtime.kernels.get(kernel);
    if (number === undefined) {
      throw new DeviceError(
        `Cannot launch "${kernel}": expected one of ${[...this.#runtime.kernels.keys()].join(", ")}`,
      );
    }
    this.#pool.launch(number, args, items, Math.max(1, Math.floor(grain)));
  }

  /** Takes back what an op was lent. */
  release(): void {
    for (const { address, bytes } of this.#lent) this.#runtime.give(address, bytes);
    this.#lent.length = 0;
    if (this.#work.bytes > KEPT) this.#drop();
  }

  /** Takes everything back. */
  [Symbol.dispose](): void {
    this.release();
    this.#drop();
  }

  #drop(): void {
    this.#runtime.give(this.#work.address, this.#work.bytes);
    this.#work = { address: 0, bytes: 0 };
  }
}
