/** Tensors in linear memory, and the scopes that free them. */
import { byteLength, type DType, type Scope, type Shape, type Tensor } from "../../core/tensor.ts";
import type { WasmBackend } from "./backend.ts";

/** A tensor: an address. */
export class WasmTensor implements Tensor {
  /** Its backend. */
  readonly backend: WasmBackend;
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** Where its data begins. */
  readonly address: number;
  /** Bytes of its data. */
  readonly bytes: number;
  /** The scope that frees it. */
  scope: WasmScope | undefined;
  /** Whether its memory is still its own. */
  alive = true;

  constructor(backend: WasmBackend, shape: Shape, dtype: DType, zeroed: boolean) {
    this.backend = backend;
    this.shape = shape;
    this.dtype = dtype;
    this.bytes = byteLength({ shape, dtype });
    this.address = backend.runtime.take(this.bytes, zeroed);
  }

  /** Frees the memory; a second time does nothing. */
  [Symbol.dispose](): void {
    if (!this.alive) return;
    this.alive = false;
    this.backend.forget(this);
  }
}

/** A region whose tensors are freed at its end. */
export class WasmScope implements Scope {
  /** The scope around it. */
  readonly parent: WasmScope | undefined;
  /** Tensors made in it; some may be freed or kept by now. */
  readonly tensors: WasmTensor[] = [];
  readonly #end: (scope: WasmScope) => void;
  #depth: number;

  /** @param end called once, when the scope ends */
  constructor(parent: WasmScope | undefined, end: (scope: WasmScope) => void) {
    this.parent = parent;
    this.#depth = parent ? parent.#depth + 1 : 0;
    this.#end = end;
  }

  /** Whether the scope has not ended. */
  get open(): boolean {
    return this.#depth >= 0;
  }

  /** Hands a tensor of this scope, or of one inside it, to the scope around. */
  keep<T extends Tensor>(tensor: T): T {
    if (tensor instanceof WasmTensor && tensor.scope && tensor.scope.#depth >= this.#depth) {
      tensor.scope = this.parent;
      this.parent?.tensors.push(tensor);
    }
    return tensor;
  }

  /** Frees what was made in it and not kept. */
  [Symbol.dispose](): void {
    if (!this.open) return;
    this.#end(this);
    this.#depth = -1;
    for (const tensor of this.tensors) if (tensor.scope === this) tensor[Symbol.dispose]();
    this.tensors.length = 0;
  }
}
