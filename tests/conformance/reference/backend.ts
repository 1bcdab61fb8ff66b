/** A backend that computes with the references: slow, plain, and what a backend must do in one short file. */
import { ShapeError } from "../../../core/errors.ts";
import {
  type Attrs,
  type Backend,
  byteLength,
  describe,
  type DType,
  elements,
  type FileDType,
  type HostTensor,
  type MemoryUse,
  type Op,
  type Run,
  type Scope,
  type Shape,
  type Spec,
  type Tensor,
  type TypedArray,
} from "../../../core/tensor.ts";
import { array, fromHost, fromTyped, type HostArray, round, toTyped } from "./array.ts";
import { REFERENCES } from "./mod.ts";
import type { Reference } from "./types.ts";

class ReferenceTensor implements Tensor {
  readonly backend: ReferenceBackend;
  readonly shape: Shape;
  readonly dtype: DType;
  data: Float64Array | null;
  readonly #free: (tensor: ReferenceTensor) => void;

  constructor(backend: ReferenceBackend, value: HostArray, free: (tensor: ReferenceTensor) => void) {
    this.backend = backend;
    this.shape = value.shape;
    this.dtype = value.dtype;
    this.data = value.data;
    this.#free = free;
  }

  [Symbol.dispose](): void {
    if (this.data) this.#free(this);
  }
}

const INTEGERS: readonly FileDType[] = ["i64", "i32", "i16", "i8", "u64", "u32", "u16"];

/** Runs every op by its reference, rounding each result to its dtype. */
export class ReferenceBackend implements Backend {
  /** What it is. */
  readonly name = "reference";
  readonly description = "plain loops in double precision";
  readonly run: Run = (op, inputs, attrs) => this.#run(op, inputs, attrs);
  readonly #references: Readonly<Record<string, Reference<never>>>;
  readonly #scopes: Set<ReferenceTensor>[] = [];
  #live = 0;
  #peak = 0;

  /** Knows the built-in ops, and those whose references are given by name. */
  constructor(references: Readonly<Record<string, Reference<never>>> = {}) {
    this.#references = { ...REFERENCES, ...references };
  }

  upload(data: HostTensor, dtype?: DType): Tensor {
    const bytes = byteLength(data);
    if (data.bytes.byteLength !== bytes) {
      throw new ShapeError("upload", `expected ${bytes} bytes, received ${data.bytes.byteLength}`);
    }
    const own = data.dtype === "f64"
      ? "f32"
      : INTEGERS.includes(data.dtype)
      ? "i32"
      : data.dtype === "bool"
      ? "u8"
      : data.dtype;
    return this.#adopt(fromHost(data, dtype ?? own as DType));
  }

  from(data: Float32Array | Int32Array | Uint8Array, shape: Shape): Tensor {
    const dtype = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u8";
    if (data.length !== elements(shape)) {
      throw new ShapeError("from", `expected ${elements(shape)} elements, received ${data.length}`);
    }
    return this.#adopt(fromTyped(data, { shape: [...shape], dtype }));
  }

  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    return this.#adopt(array([...shape], undefined, dtype));
  }

  async read(tensor: Tensor): Promise<TypedArray> {
    return (await this.readAll([tensor]))[0]!;
  }

  async readAll(tensors: readonly Tensor[]): Promise<TypedArray[]> {
    const found = tensors.map((tensor) => toTyped(this.#living("read", tensor)));
    await Promise.resolve();
    return found;
  }

  detach<T extends Tensor>(tensor: T): T {
    for (const scope of this.#scopes) scope.delete(tensor as unknown as ReferenceTensor);
    return tensor;
  }

  scope(): Scope {
    const own = new Set<ReferenceTensor>();
    this.#scopes.push(own);
    return {
      keep: (tensor) => {
        if (!own.delete(tensor as unknown as ReferenceTensor)) return tensor;
        this.#scopes[this.#scopes.indexOf(own) - 1]?.add(tensor as unknown as ReferenceTensor);
        return tensor;
      },
      [Symbol.dispose]: () => {
        const at = this.#scopes.indexOf(own);
        if (at < 0) return;
        for (const tensor of this.#scopes.splice(at).flatMap((set) => [...set])) tensor[Symbol.dispose]();
      },
    };
  }

  memory(): MemoryUse {
    return { live: this.#live, peak: this.#peak };
  }

  resetPeak(): void {
    this.#peak = this.#live;
  }

  /** Holds nothing but memory, which goes with it. */
  [Symbol.dispose](): void {}

  #run<A extends Attrs>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    const arrays = inputs.map((tensor) => this.#living(op.name, tensor));
    const specs = op.infer(inputs, attrs);
    if (op.compose) {
      using scope = this.scope();
      return op.compose(this.run, inputs, attrs).map((tensor) => scope.keep(tensor));
    }
    const reference = this.#references[op.name] as Reference<A> | undefined;
    if (!reference) throw new ShapeError(op.name, "expected an op with a reference, received none");
    return reference(arrays, attrs).map((value, i) => this.#output(op, inputs, specs[i]!, value, i));
  }

  #output(op: Op<never>, inputs: readonly Tensor[], spec: Spec, value: HostArray, i: number): Tensor {
    const data = value.data.map((x) => round(x, spec.dtype)), alias = op.alias?.[i];
    if (alias === undefined) return this.#adopt({ ...spec, data });
    (inputs[alias] as ReferenceTensor).data!.set(data);
    return inputs[alias]!;
  }

  #living(what: string, tensor: Tensor): HostArray {
    if (!(tensor instanceof ReferenceTensor) || tensor.backend !== this || !tensor.data) {
      throw new ShapeError(what, `expected a living tensor of this backend, received ${describe(tensor)}`);
    }
    return { shape: tensor.shape, dtype: tensor.dtype, data: tensor.data };
  }

  #adopt(value: HostArray): ReferenceTensor {
    const bytes = byteLength(value);
    const tensor = new ReferenceTensor(this, value, (dead) => {
      dead.data = null;
      this.#live -= bytes;
      for (const scope of this.#scopes) scope.delete(dead);
    });
    this.#scopes.at(-1)?.add(tensor);
    this.#live += bytes;
    this.#peak = Math.max(this.#peak, this.#live);
    return tensor;
  }
}
