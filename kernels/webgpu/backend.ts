/** The backend on a WebGPU device. */
import { DeviceError, ShapeError } from "../../core/errors.ts";
import {
  type Attrs,
  type Backend,
  byteLength,
  describe,
  type DType,
  elements,
  type MemoryUse,
  type Op,
  type Run,
  type Scope,
  type Shape,
  type Spec,
  type StoredTensor,
  type Tensor,
  type TypedArray,
  type WgslBinding,
  type WgslLimits,
  type WgslPass,
} from "../../core/tensor.ts";
import { asTyped, toHeld } from "../host.ts";
import { adapterFacts, type WebgpuOptions } from "./device.ts";
import { type Block, Pool, sizeClass } from "./memory.ts";
import { Pipelines } from "./pipelines.ts";
import { Recorder } from "./recorder.ts";
import { Staging } from "./staging.ts";

/** A tensor in a buffer of the device. */
class GpuTensor implements Tensor {
  readonly backend: Webgpu;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Its data padded to whole words, as bindings and copies need it. */
  readonly bytes: number;
  /** Where it lies; `null` once it is freed. */
  block: Block | null;
  readonly #free: (tensor: GpuTensor) => void;

  constructor(backend: Webgpu, spec: Spec, block: Block, free: (tensor: GpuTensor) => void) {
    this.backend = backend;
    this.shape = spec.shape;
    this.dtype = spec.dtype;
    this.bytes = padded(byteLength(spec));
    this.block = block;
    this.#free = free;
  }

  [Symbol.dispose](): void {
    if (this.block) this.#free(this);
  }
}

/** What the bindings of a call speak of. */
interface Call {
  readonly inputs: readonly GpuTensor[];
  readonly outputs: readonly GpuTensor[];
  /** Working memory, by name. */
  readonly scratch: Map<string, Block>;
}

/** Whole words; for nothing as many as the largest element of a kernel's array takes, since no binding is empty. */
function padded(bytes: number): number {
  return bytes === 0 ? 16 : Math.ceil(bytes / 4) * 4;
}

/** Bytes that a binding may cover: kernels count elements in 32 bits, offsets of bindings are multiples of 256. */
function bindingLimit(limits: GPUSupportedLimits, { maxBinding = Infinity }: WebgpuOptions): number {
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize, maxBinding, 2 ** 32 - 256);
  return Math.floor(most / 256) * 256;
}

/** Runs ops on a WebGPU device. */
export class Webgpu implements Backend {
  readonly name = "webgpu";
  readonly description: string;
  readonly run: Run = (op, inputs, attrs) => this.#run(op, inputs, attrs);
  readonly #device: GPUDevice;
  readonly #limits: WgslLimits;
  readonly #pool: Pool;
  readonly #pipelines: Pipelines;
  readonly #recorder: Recorder;
  readonly #staging: Staging;
  readonly #scopes: Set<GpuTensor>[] = [];
  #checks: Promise<void> = Promise.resolve();
  #failure: DeviceError | null = null;
  #live = 0;
  #peak = 0;

  /** Takes over a device; disposing of the backend destroys it. */
  constructor(adapter: GPUAdapter, device: GPUDevice, options: WebgpuOptions = {}) {
    this.#device = device;
    this.description = adapterFacts(adapter).description;
    const { limits } = device;
    this.#limits = {
      maxBinding: bindingLimit(limits, options),
      maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
      maxWorkgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
      maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
    };
    this.#pool = new Pool(device, options.poolBytes ?? 256 << 20);
    this.#pipelines = new Pipelines(
      device,
      (op, problem) =>
        this.#check(problem.then((text) => text && `Cannot compile the kernel of "${op}": ${text}`)),
    );
    this.#recorder = new Recorder(
      device,
      (problem) =>
        this.#check(
          problem.then((error) => error && `Cannot run the recorded work: ${error.message.trim()}`),
        ),
    );
    this.#staging = new Staging(device);
    device.lost.then(({ reason, message }) => {
      this.#fail(`Cannot go on: the GPU device was lost (${[reason, message].filter(Boolean).join(": ")})`);
    });
  }

  upload(data: StoredTensor, dtype?: DType): Tensor {
    this.#ready();
    const held = toHeld(data, dtype);
    return this.#write(held.bytes, { shape: [...data.shape], dtype: held.dtype });
  }

  from(data: Float32Array | Int32Array | Uint8Array, shape: Shape): Tensor {
    this.#ready();
    const dtype = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u8";
    if (data.length !== elements(shape)) {
      throw new ShapeError(
        "from",
        `expected ${elements(shape)} elements for [${shape.join(", ")}], received ${data.length}`,
      );
    }
    return this.#write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), {
      shape: [...shape],
      dtype,
    });
  }

  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    this.#ready();
    const tensor = this.#make({ shape: [...shape], dtype });
    // A buffer fresh from the device is zero already; one that was used before is not.
    if (tensor.block!.epoch >= 0) this.#recorder.clear(tensor.block!.buffer, tensor.bytes);
    return tensor;
  }

  async read(tensor: Tensor): Promise<TypedArray> {
    const [data] = await this.readAll([tensor]);
    return data!;
  }

  async readAll(tensors: readonly Tensor[]): Promise<TypedArray[]> {
    this.#ready();
    const sources = tensors.map((tensor) => {
      const { block, bytes } = this.#own("read", tensor);
      return { buffer: block!.buffer, bytes };
    });
    const ticket = this.#staging.copy(this.#recorder, sources);
    this.#recorder.submit();
    let data: ArrayBuffer[] | null = null;
    try {
      data = await ticket.wait();
    } catch (cause) {
      await this.#checks;
      throw this.#failure ??
        new DeviceError("Cannot read from the GPU: mapping its memory failed", { cause });
    }
    await this.#checks;
    if (this.#failure) throw this.#failure;
    ticket.release();
    return tensors.map(({ dtype, shape }, i) => asTyped(dtype, data![i]!, elements(shape)));
  }

  detach<T extends Tensor>(tensor: T): T {
    for (const scope of this.#scopes) scope.delete(tensor as unknown as GpuTensor);
    return tensor;
  }

  scope(): Scope {
    const own = new Set<GpuTensor>();
    this.#scopes.push(own);
    return {
      keep: (tensor) => {
        if (!own.delete(tensor as unknown as GpuTensor)) return tensor;
        this.#scopes[this.#scopes.indexOf(own) - 1]?.add(tensor as unknown as GpuTensor);
        return tensor;
      },
      [Symbol.dispose]: () => {
        const at = this.#scopes.indexOf(own);
        if (at < 0) return;
        for (const ended of this.#scopes.splice(at).reverse()) {
          for (const tensor of ended) tensor[Symbol.dispose]();
        }
      },
    };
  }

  memory(): MemoryUse {
    return { live: this.#live, peak: this.#peak };
  }

  resetPeak(): void {
    this.#peak = this.#live;
  }

  [Symbol.dispose](): void {
    if (this.#failure) return;
    this.#failure = new DeviceError("Cannot use the backend: it was disposed of");
    this.#recorder.discard();
    this.#device.destroy();
  }

  #run<A extends Attrs>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    this.#ready();
    const own = inputs.map((tensor) => this.#own(op.name, tensor));
    const specs = op.infer(own, attrs);
    if (op.compose) {
      using scope = this.scope();
      return op.compose(this.run, inputs, attrs).map((tensor) => scope.keep(tensor));
    }
    if (!op.wgsl) throw new DeviceError(`Cannot run "${op.name}" on WebGPU: it has no WGSL kernel`);
    const passes = op.wgsl(own, specs, attrs, this.#limits);
    const outputs = specs.map((spec, i) => {
      const alias = op.alias?.[i];
      return alias === undefined ? this.#make(spec) : own[alias]!;
    });
    const scratch = new Map<string, Block>();
    try {
      for (const pass of passes) this.#dispatch(op.name, pass, { inputs: own, outputs, scratch });
    } catch (error) {
      outputs.forEach((output, i) => op.alias?.[i] === undefined && output[Symbol.dispose]());
      throw error;
    } finally {
      for (const block of scratch.values()) this.#pool.give(block, this.#recorder.epoch);
    }
    return outputs;
  }

  #dispatch(op: string, { code, bind, params, grid }: WgslPass, call: Call): void {
    if (grid.some((size) => size === 0)) return;
    this.#admit(op, grid);
    const buffers = bind.map((binding) => this.#bind(op, binding, call));
    const kernel = this.#pipelines.get(op, code, bind.length, params !== undefined);
    this.#recorder.dispatch(kernel, { bind: buffers, params, grid });
  }

  #admit(op: string, grid: readonly number[]): void {
    if (grid.every((size) => size <= this.#limits.maxWorkgroups)) return;
    throw new DeviceError(
      `Cannot run "${op}": expected at most ${this.#limits.maxWorkgroups} workgroups along an axis, received ${
        grid.join(" × ")
      }`,
    );
  }

  #bind(op: string, binding: WgslBinding, call: Call): GPUBufferBinding {
    if ("scratch" in binding) {
      let block = call.scratch.get(binding.scratch);
      if (!block || block.buffer.size < binding.bytes) {
        if (block) this.#pool.give(block, this.#recorder.epoch);
        block = this.#pool.take(Math.max(16, binding.bytes));
        call.scratch.set(binding.scratch, block);
      }
      return { buffer: block.buffer, offset: 0, size: padded(binding.bytes) };
    }
    const tensor = "input" in binding ? call.inputs[binding.input]! : call.outputs[binding.output]!;
    const offset = binding.offset ?? 0;
    const size = padded(binding.size ?? tensor.bytes - offset);
    if (offset % 256 !== 0 || offset + size > tensor.bytes) {
      throw new DeviceError(
        `Cannot run "${op}": expected a binding inside ${describe(tensor)} from a multiple of 256, ` +
          `received ${size} bytes from ${offset}`,
      );
    }
    if (size > this.#limits.maxBinding) {
      throw new DeviceError(
        `Cannot run "${op}" on ${
          describe(tensor)
        }: expected at most ${this.#limits.maxBinding} bytes in one binding, ` +
          `received ${size}`,
        { hint: "Use an adapter with a larger maxStorageBufferBindingSize, or --device wasm" },
      );
    }
    return { buffer: tensor.block!.buffer, offset, size };
  }

  #make(spec: Spec): GpuTensor {
    return this.#adopt(spec, this.#take(padded(byteLength(spec))));
  }

  #write(bytes: Uint8Array, spec: Spec): GpuTensor {
    const size = padded(bytes.byteLength);
    const block = this.#take(size, this.#recorder.epoch);
    let data = bytes;
    if (bytes.byteLength !== size) {
      data = new Uint8Array(size);
      data.set(bytes);
    }
    this.#device.queue.writeBuffer(block.buffer, 0, data as Uint8Array<ArrayBuffer>);
    return this.#adopt(spec, block);
  }

  #take(bytes: number, before?: number): Block {
    const size = sizeClass(bytes), limit = this.#device.limits.maxBufferSize;
    if (size > limit) {
      throw new DeviceError(`Cannot make a buffer: expected at most ${limit} bytes, received ${bytes}`, {
        hint: "Split the tensor, or use --device wasm",
      });
    }
    this.#device.pushErrorScope("out-of-memory");
    const block = this.#pool.take(bytes, before);
    this.#check(
      this.#device.popErrorScope().then((error) =>
        error && `Cannot make a buffer of ${bytes} bytes: the GPU is out of memory`
      ),
    );
    return block;
  }

  #adopt(spec: Spec, block: Block): GpuTensor {
    const tensor = new GpuTensor(this, spec, block, (dead) => this.#free(dead));
    this.#scopes.at(-1)?.add(tensor);
    this.#live += byteLength(spec);
    this.#peak = Math.max(this.#peak, this.#live);
    return tensor;
  }

  #free(tensor: GpuTensor): void {
    this.#pool.give(tensor.block!, this.#recorder.epoch);
    this.#pool.trim(this.#recorder.epoch);
    tensor.block = null;
    this.#live -= byteLength(tensor);
    for (const scope of this.#scopes) scope.delete(tensor);
  }

  #own(op: string, tensor: Tensor): GpuTensor {
    if (!(tensor instanceof GpuTensor) || tensor.backend !== this) {
      throw new ShapeError(op, `expected tensors of this backend, received ${describe(tensor)} of another`);
    }
    if (!tensor.block) {
      throw new ShapeError(op, `expected living tensors, received ${describe(tensor)} after its end`);
    }
    return tensor;
  }

  #ready(): void {
    if (this.#failure) throw this.#failure;
  }

  #check(problem: Promise<string | null>): void {
    // One after the other, so that the first cause is the one that is told.
    this.#checks = this.#checks.then(async () => {
      const message = await problem;
      if (message) this.#fail(message);
    });
  }

  #fail(message: string): void {
    this.#failure ??= new DeviceError(message);
  }
}
