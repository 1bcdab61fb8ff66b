/** One open command encoder with one open compute pass, and the parameters of its dispatches. */
import type { WgslParam } from "../../core/tensor.ts";
import type { Pipeline } from "./pipelines.ts";

/** Dispatches after which the work so far is handed to the device, so that it starts while more is recorded. */
const MAX_DISPATCHES = 256;
/** Bytes of the parameters' buffer. */
const ARENA = 65536;

/** Gets the outcome of the error scope around a submission. */
export type Report = (problem: Promise<GPUError | null>) => void;

/** Records dispatches and copies, and submits them together. */
export class Recorder {
  readonly #device: GPUDevice;
  readonly #report: Report;
  readonly #arena: GPUBuffer;
  readonly #bytes = new ArrayBuffer(ARENA);
  readonly #words = new DataView(this.#bytes);
  readonly #alignment: number;
  #used = 0;
  #dispatches = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  /** Number of the submission being recorded. */
  epoch = 0;

  constructor(device: GPUDevice, report: Report) {
    this.#device = device;
    this.#report = report;
    this.#alignment = Math.max(16, device.limits.minUniformBufferOffsetAlignment);
    this.#arena = device.createBuffer({ size: ARENA, usage: 0x40 | 0x08 }); // UNIFORM | COPY_DST
  }

  /** Appends one dispatch. */
  dispatch(kernel: Pipeline, call: {
    readonly bind: readonly GPUBufferBinding[];
    readonly params: readonly WgslParam[] | undefined;
    readonly grid: readonly [number, number, number];
  }): void {
    const bytes = Math.ceil((call.params?.length ?? 0) / 4) * 16;
    if (this.#used + bytes > ARENA || this.#dispatches >= MAX_DISPATCHES) this.submit();
    const pass = this.#open();
    const entries: GPUBindGroupEntry[] = call.bind.map((resource, binding) => ({ binding, resource }));
    const offsets: number[] = [];
    if (call.params) {
      entries.push({ binding: entries.length, resource: { buffer: this.#arena, offset: 0, size: bytes } });
      offsets.push(this.#write(call.params, bytes));
    }
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, this.#device.createBindGroup({ layout: kernel.layout, entries }), offsets);
    pass.dispatchWorkgroups(...call.grid);
    this.#dispatches++;
  }

  /** Appends a copy between buffers. */
  copy(from: GPUBuffer, to: GPUBuffer, offset: number, size: number): void {
    this.#endPass();
    this.#encode().copyBufferToBuffer(from, 0, to, offset, size);
  }

  /** Appends setting the first `size` bytes of a buffer to zero. */
  clear(buffer: GPUBuffer, size: number): void {
    this.#endPass();
    this.#encode().clearBuffer(buffer, 0, size);
  }

  /** Hands what was recorded to the device. */
  submit(): void {
    if (!this.#encoder) return;
    this.#endPass();
    // The write comes before the commands of this submission and after those of the last: it is the queue's order.
    if (this.#used > 0) this.#device.queue.writeBuffer(this.#arena, 0, this.#bytes, 0, this.#used);
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#report(this.#device.popErrorScope());
    this.#encoder = null;
    this.#used = 0;
    this.#dispatches = 0;
    this.epoch++;
  }

  /** Forgets what was recorded since the last submission. */
  discard(): void {
    if (!this.#encoder) return;
    this.#endPass();
    this.#report(this.#device.popErrorScope());
    this.#encoder = null;
  }

  #encode(): GPUCommandEncoder {
    if (!this.#encoder) {
      this.#device.pushErrorScope("validation");
      this.#encoder = this.#device.createCommandEncoder();
    }
    return this.#encoder;
  }

  #open(): GPUComputePassEncoder {
    this.#pass ??= this.#encode().beginComputePass();
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }

  #write(params: readonly WgslParam[], bytes: number): number {
    const start = this.#used;
    params.forEach((param, i) => {
      const at = start + 4 * i;
      if ("u32" in param) this.#words.setUint32(at, param.u32, true);
      else if ("i32" in param) this.#words.setInt32(at, param.i32, true);
      else this.#words.setFloat32(at, param.f32, true);
    });
    this.#used = Math.ceil((start + bytes) / this.#alignment) * this.#alignment;
    return start;
  }
}
