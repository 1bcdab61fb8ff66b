/**
 * The compute contract: tensors, ops, backends. Everything that computes stands on this file, and it imports
 * nothing. An op is a value that says what it does on each kind of backend; a backend runs any op, those of a
 * third party's plugin too.
 *
 * @module
 */

/**
 * Weights in blocks of {@linkcode BLOCK} entries along the last axis, as ggml lays them out: a scale in half precision
 * (`q4_1`: and a least entry), then integers of 8 or 4 bits. Products read them as they are.
 */
export type BlockDType = "q8_0" | "q4_0" | "q4_1";

/** Entries of a block of a {@linkcode BlockDType}. */
export const BLOCK = 32;

/** Element types a backend can hold. `bf16`, `f16` and blocks are storage types: arithmetic is in f32. */
export type DType = "f32" | "bf16" | "f16" | "i32" | "u8" | BlockDType;

/** Element types a file can hold; what no backend holds is converted when it is uploaded. */
export type FileDType =
  | Exclude<DType, BlockDType>
  | "f64"
  | "i64"
  | "i16"
  | "i8"
  | "u64"
  | "u32"
  | "u16"
  | "bool";

/** Bytes of one element; in blocks a part of the block's, exact as a number. */
export const BYTES: Readonly<Record<DType | FileDType, number>> = {
  f64: 8,
  f32: 4,
  bf16: 2,
  f16: 2,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u64: 8,
  u32: 4,
  u16: 2,
  u8: 1,
  bool: 1,
  q8_0: 34 / BLOCK,
  q4_0: 18 / BLOCK,
  q4_1: 20 / BLOCK,
};

/** Whether a dtype is one of blocks. */
export function isBlocks(dtype: DType | FileDType): dtype is BlockDType {
  return dtype === "q8_0" || dtype === "q4_0" || dtype === "q4_1";
}

/** Sizes of a tensor's axes, outermost first; row-major and contiguous, always. */
export type Shape = readonly number[];

/** Shape and dtype of a tensor, without its data. */
export interface Spec {
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
}

/** A tensor in a backend's memory. Its content may still be being computed; {@linkcode Backend.read} waits. */
export interface Tensor extends Spec, Disposable {
  /** The backend whose memory holds it. */
  readonly backend: Backend;
}

/** A tensor in plain memory, as a file holds it. */
export interface HostTensor {
  /** Axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: FileDType;
  /** Little-endian elements, row-major; length is the product of the shape times {@linkcode BYTES}. */
  readonly bytes: Uint8Array;
}

/** A tensor in plain memory of a file's dtype, or in blocks. */
export interface StoredTensor extends Omit<HostTensor, "dtype"> {
  /** Element type. */
  readonly dtype: FileDType | BlockDType;
}

/** What {@linkcode Backend.read} gives: bf16 and f16 come as their raw 16 bits, blocks as bytes. */
export type TypedArray = Float32Array | Int32Array | Uint16Array | Uint8Array;

/** Attributes of an op: plain data, part of a pipeline's identity only as far as the op puts it into its code. */
export type Attrs = object;

/**
 * Runs ops. A backend's own {@linkcode Backend.run} is one, a tape's is another: model code takes a `Run` and is
 * the same in training and decoding. Synchronous: it only appends work.
 */
export type Run = <A extends Attrs>(op: Op<A>, inputs: readonly Tensor[], attrs: A) => Tensor[];

/** What an op's gradient rule gets to work with. */
export interface GradCall<A extends Attrs> {
  /** The inputs of the forward call. */
  readonly inputs: readonly Tensor[];
  /** The outputs of the forward call. */
  readonly outputs: readonly Tensor[];
  /** Gradient of the loss by each output; `null` where nothing depends on it. */
  readonly douts: readonly (Tensor | null)[];
  /** The attributes of the forward call. */
  readonly attrs: A;
  /** For each input, whether its gradient is wanted: a rule may return `null` for the others. */
  readonly needs: readonly boolean[];
}

/**
 * One operation, as a value. Exactly one of these ways to compute must be there: `wgsl` and `wasm` together, or
 * `compose` alone, which is built of other ops and hides its insides from the tape.
 *
 * Outputs are several because a fused op's gradient needs what its forward found (a softmax's normaliser, say), and
 * a backward op gives one gradient per input.
 */
export interface Op<A extends Attrs = Attrs> {
  /** Unique name, `snake_case`; a plugin's op is prefixed with the plugin's name. */
  readonly name: string;
  /**
   * The one shape and dtype rule.
   *
   * @throws {ShapeError} when the inputs do not fit.
   */
  infer(inputs: readonly Spec[], attrs: A): Spec[];
  /** `alias[i] = j`: output i is input j, changed in place. The tape refuses to differentiate through it. */
  readonly alias?: Readonly<Record<number, number>>;
  /** The passes of the op on WebGPU, in order. */
  wgsl?(inputs: readonly Spec[], outputs: readonly Spec[], attrs: A, limits: WgslLimits): WgslPass[];
  /** The op on the CPU: calls into the Rust crate, or plain loops over views. */
  wasm?(call: WasmCall, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: A): void;
  /** The op in terms of other ops; the backend frees what it does not return. */
  compose?(run: Run, inputs: readonly Tensor[], attrs: A): Tensor[];
  /** Gradient by each input. It must not change its arguments. */
  grad?(run: Run, call: GradCall<A>): (Tensor | null)[];
}

/** What a WGSL generator may count on. */
export interface WgslLimits {
  /** Bytes one storage binding may cover. */
  readonly maxBinding: number;
  /** Bytes of workgroup memory. */
  readonly maxWorkgroupStorage: number;
  /** Invocations in one workgroup. */
  readonly maxWorkgroupInvocations: number;
  /** Workgroups along one axis of a dispatch. */
  readonly maxWorkgroups: number;
}

/** One dispatch. Buffers are bound in group 0 in the order of `bind`, then the parameters as a uniform, if any. */
export interface WgslPass {
  /** WGSL text with an entry point `main`; pipelines are cached by this text. */
  readonly code: string;
  /** What is bound to `@binding(0)`, `@binding(1)`, …. */
  readonly bind: readonly WgslBinding[];
  /** Uniform `@binding(bind.length)`: 32-bit words, in order. */
  readonly params?: readonly WgslParam[];
  /** Workgroups along x, y, z; a zero anywhere skips the pass. */
  readonly grid: readonly [number, number, number];
}

/** A storage binding: an input, an output, or scratch of some bytes shared by the passes of one call. */
export type WgslBinding =
  | {
    readonly input: number;
    readonly offset?: number;
    readonly size?: number;
  }
  | {
    readonly output: number;
    readonly offset?: number;
    readonly size?: number;
  }
  | {
    readonly scratch: string;
    readonly bytes: number;
  };

/** A 32-bit parameter: unsigned, signed or float. */
export type WgslParam = { readonly u32: number } | { readonly i32: number } | { readonly f32: number };

/** What an op's `wasm` member works with. Addresses are byte offsets into the backend's linear memory. */
export interface WasmCall {
  /** Threads that {@linkcode WasmCall.launch} spreads its items over. */
  readonly threads: number;
  /** Where a tensor's data begins. */
  address(tensor: Tensor): number;
  /** A tensor's data, to read or write in place; valid until the op returns. */
  view(tensor: Tensor): TypedArray;
  /** Address of zeroed working memory, freed when the op returns. */
  scratch(bytes: number): number;
  /**
   * Runs a kernel of the Rust crate over `items` in blocks of `grain` on all threads, and waits.
   *
   * @param kernel its name in the crate's table
   * @param args addresses, sizes and scalars, as the kernel reads them
   * @param items how many items there are (rows, tiles, columns: the kernel's choice)
   * @param grain items a thread takes at once; at most one grain runs on the caller alone
   */
  launch(kernel: string, args: readonly number[], items: number, grain?: number): void;
}

/** Bytes held by a backend. */
export interface MemoryUse {
  /** Bytes of living tensors. */
  readonly live: number;
  /** Largest `live` since {@linkcode Backend.resetPeak}. */
  readonly peak: number;
}

/** A region of a program whose tensors are freed when it ends. */
export interface Scope extends Disposable {
  /** Lets a tensor outlive this scope: it then belongs to the enclosing one, or to nobody. */
  keep<T extends Tensor>(tensor: T): T;
}

/** A place to compute. Not a compiler, and it knows no op by name. */
export interface Backend extends Disposable {
  /** `webgpu` or `wasm`. */
  readonly name: string;
  /** What it runs on, for people: adapter or instruction set, threads. */
  readonly description: string;
  /**
   * Appends an op. Guaranteed to run in the order of the calls.
   *
   * @throws {ShapeError} when the inputs do not fit the op
   */
  readonly run: Run;
  /**
   * Copies data in. `i64`, `u32`, `bool` become `i32` or `u8`, `f64` becomes `f32`, when `dtype` asks for it.
   * Blocks stay as they are.
   *
   * @throws {ShapeError} when the data's length does not fit the shape, or blocks are asked for as another dtype
   */
  upload(data: StoredTensor, dtype?: DType): Tensor;
  /** Copies a typed array in: f32, i32 or u8 by its own type. */
  from(data: Float32Array | Int32Array | Uint8Array, shape: Shape): Tensor;
  /** A tensor of zeros. */
  zeros(shape: Shape, dtype?: DType): Tensor;
  /** Waits for a tensor's content and copies it out. */
  read(tensor: Tensor): Promise<TypedArray>;
  /** Waits for several at once: one synchronisation for all. */
  readAll(tensors: readonly Tensor[]): Promise<TypedArray[]>;
  /** Takes a tensor out of every open scope: whoever asks frees it. For what outlives the pass that first needs it. */
  detach<T extends Tensor>(tensor: T): T;
  /** Opens a scope; scopes nest and end in reverse order (`using scope = backend.scope()`). */
  scope(): Scope;
  /** Bytes in use. */
  memory(): MemoryUse;
  /** Starts a new measurement of the peak. */
  resetPeak(): void;
}

/** Number of elements of a shape. */
export function elements(shape: Shape): number {
  let n = 1;
  for (const axis of shape) n *= axis;
  return n;
}

/** Shapes as people write them: `f32[2, 3]`. */
export function describe(spec: Spec): string {
  return `${spec.dtype}[${spec.shape.join(", ")}]`;
}

/** Bytes of a tensor's data. */
export function byteLength(spec: { readonly shape: Shape; readonly dtype: DType | FileDType }): number {
  return elements(spec.shape) * BYTES[spec.dtype];
}
