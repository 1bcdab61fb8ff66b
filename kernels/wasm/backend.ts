/** The CPU as a backend. */
import { DeviceError, ShapeError } from "../../core/errors.ts";
import {
  type Attrs,
  type Backend,
  byteLength,
  BYTES,
  type DType,
  elements,
  type MemoryUse,
  type Op,
  type Run,
  type Scope,
  type Shape,
  type StoredTensor,
  type Tensor,
  type TypedArray,
} from "../../core/tensor.ts";
import { asTyped, toHeld } from "../host.ts";
import { Call } from "./call.ts";
import type { Pool } from "./pool.ts";
import type { Runtime } from "./runtime.ts";
import { WasmScope, WasmTensor } from "./tensor.ts";

/** Runs ops at once, on all threads. */
export class WasmBackend implements Backend {
  /** `wasm`. */
  readonly name = "wasm";
  /** The kernels and their memory. */
  readonly runtime: Runtime;
  readonly #pool: Pool;
  readonly #call: Call;
  readonly #tensors = new Set<WasmTensor>();
  #scope: WasmScope | undefined;
  #live = 0;
  #peak = 0;
  #open = true;

  /** @param pool its threads, which it ends */
  constructor(runtime: Runtime, pool: Pool) {
    this.runtime = runtime;
    this.#pool = pool;
    this.#call = new Call(runtime, pool);
  }

  /** Instruction set and threads. */
  get description(): string {
    const { present, threads } = this.#pool;
    const simd = this.runtime.module ? "relaxed SIMD" : "SIMD";
    return `WebAssembly, ${simd}, ${threads === 1 ? "1 thread" : `${present} of ${threads} threads`}`;
  }

  /** Runs an op; its outputs are complete when this returns. */
  readonly run: Run = <A extends Attrs>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] => {
    this.#check(op.name, inputs);
    if (!op.wasm) return this.#compose(op, inputs, attrs);
    const specs = op.infer(inputs, attrs);
    const outputs: WasmTensor[] = [];
    try {
      for (let i = 0; i < specs.length; i++) {
        const source = op.alias?.[i];
        outputs.push(source === undefined ? this.#make(specs[i]!) : inputs[source] as WasmTensor);
      }
      op.wasm(this.#call, inputs, outputs, attrs);
    } catch (error) {
      for (const tensor of outputs) if (!inputs.includes(tensor)) tensor[Symbol.dispose]();
      throw error;
    } finally {
      this.#call.release();
    }
    return outputs;
  };

  /** Copies data in. */
  upload(data: StoredTensor, dtype?: DType): Tensor {
    if (data.bytes.byteLength !== byteLength(data)) {
      throw new ShapeError(
        "upload",
        `expected ${byteLength(data)} bytes for ${data.dtype}[${
          data.shape.join(", ")
        }], received ${data.bytes.byteLength}`,
      );
    }
    const held = toHeld(data, dtype);
    const tensor = this.#make({ shape: [...data.shape], dtype: held.dtype });
    new Uint8Array(this.runtime.buffer, tensor.address, tensor.bytes).set(held.bytes);
    return tensor;
  }

  /** Copies a typed array in. */
  from(data: Float32Array | Int32Array | Uint8Array, shape: Shape): Tensor {
    if (data.length !== elements(shape)) {
      throw new ShapeError(
        "from",
        `expected ${elements(shape)} entries for [${shape.join(", ")}], received ${data.length}`,
      );
    }
    const dtype = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u8";
    const tensor = this.#make({ shape: [...shape], dtype });
    this.#call.view(tensor).set(data);
    return tensor;
  }

  /** Zeros. */
  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    return this.#make({ shape: [...shape], dtype }, true);
  }

  /** Copies a tensor out. */
  // deno-lint-ignore require-await -- another backend waits here
  async read(tensor: Tensor): Promise<TypedArray> {
    return this.#copy(tensor);
  }

  /** Copies several out. */
  // deno-lint-ignore require-await -- another backend waits here
  async readAll(tensors: readonly Tensor[]): Promise<TypedArray[]> {
    return tensors.map((tensor) => this.#copy(tensor));
  }

  #copy(tensor: Tensor): TypedArray {
    this.#check("read", [tensor]);
    const { address, bytes, dtype } = tensor as WasmTensor;
    const copy = new ArrayBuffer(bytes);
    new Uint8Array(copy).set(new Uint8Array(this.runtime.buffer, address, bytes));
    return asTyped(dtype, copy, bytes / BYTES[dtype]);
  }

  /** Takes a tensor out of its scope. */
  detach<T extends Tensor>(tensor: T): T {
    this.#check("detach", [tensor]);
    (tensor as unknown as WasmTensor).scope = undefined;
    return tensor;
  }

  /** Opens a scope. */
  scope(): Scope {
    this.#check("scope", []);
    this.#scope = new WasmScope(this.#scope, (scope) => {
      while (this.#scope && this.#scope !== scope) this.#scope[Symbol.dispose]();
      this.#scope = scope.parent;
    });
    return this.#scope;
  }

  /** Bytes in use. */
  memory(): MemoryUse {
    return { live: this.#live, peak: this.#peak };
  }

  /** Starts a new measurement of the peak. */
  resetPeak(): void {
    this.#peak = this.#live;
  }

  /** Frees all tensors and ends the threads. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pool[Symbol.dispose]();
    for (const tensor of this.#tensors) tensor[Symbol.dispose]();
    this.#call[Symbol.dispose]();
  }

  /** Takes a disposed tensor's memory back; called by the tensor. */
  forget(tensor: WasmTensor): void {
    this.#tensors.delete(tensor);
    this.#live -= tensor.bytes;
    this.runtime.give(tensor.address, tensor.bytes);
  }

  #make({ shape, dtype }: { shape: Shape; dtype: DType }, zeroed = false): WasmTensor {
    this.#check("allocate", []);
    const tensor = new WasmTensor(this, shape, dtype, zeroed);
    this.#tensors.add(tensor);
    this.#live += tensor.bytes;
    if (this.#live > this.#peak) this.#peak = this.#live;
    tensor.scope = this.#scope;
    this.#scope?.tensors.push(tensor);
    return tensor;
  }

  #compose<A extends Attrs>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    if (!op.compose) {
      throw new DeviceError(
        `Cannot run "${op.name}": expected a member "wasm" or "compose", received neither`,
      );
    }
    op.infer(inputs, attrs);
    using scope = this.scope();
    return op.compose(this.run, inputs, attrs).map((tensor) => scope.keep(tensor));
  }

  /** Refuses a closed backend, and tensors that are freed or elsewhere. */
  #check(what: string, tensors: readonly Tensor[]): void {
    if (!this.#open) {
      throw new DeviceError(`Cannot run "${what}": expected an open backend, received one that was disposed`);
    }
    for (const tensor of tensors) {
      if (!(tensor instanceof WasmTensor) || tensor.backend !== this) {
        throw new DeviceError(
          `Cannot run "${what}": expected a tensor of this backend, received one of another`,
        );
      }
      if (!tensor.alive) {
        throw new DeviceError(
          `Cannot run "${what}": expected a living tensor, received one that was disposed`,
          {
            hint: "Keep it with scope.keep(tensor), or do not dispose it before its last use",
          },
        );
      }
    }
  }
}
