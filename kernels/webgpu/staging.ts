/** Buffers through which results come back. */
import type { Recorder } from "./recorder.ts";

/** Something to copy out. */
interface Source {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** A read under way. */
export interface Ticket {
  /** The sources' bytes, when the device has them. */
  wait(): Promise<ArrayBuffer[]>;
  /** Gives the staging memory back. */
  release(): void;
}

/** Largest staging buffer that is kept for the next read. */
const KEPT = 16 << 20;

/** Copies several tensors to one mappable buffer: one synchronisation for all of them. */
export class Staging {
  readonly #device: GPUDevice;
  #idle: GPUBuffer[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Records the copies; the caller submits, then waits. */
  copy(recorder: Recorder, sources: readonly Source[]): Ticket {
    const limit = this.#device.limits.maxBufferSize;
    const groups: { at: number; buffer: GPUBuffer }[] = [];
    const places: { group: number; offset: number; bytes: number }[] = [];
    const sizes: number[] = [];
    for (const { bytes } of sources) {
      const space = Math.ceil(bytes / 8) * 8; // mapped ranges begin at multiples of 8
      if (sizes.length === 0 || sizes.at(-1)! + space > limit) sizes.push(0);
      places.push({ group: sizes.length - 1, offset: sizes.at(-1)!, bytes });
      sizes[sizes.length - 1]! += space;
    }
    for (const size of sizes) groups.push({ at: size, buffer: this.#take(size) });
    sources.forEach((source, i) => {
      const { group, offset, bytes } = places[i]!;
      recorder.copy(source.buffer, groups[group]!.buffer, offset, bytes);
    });
    return {
      wait: async () => {
        await Promise.all(groups.map(({ buffer, at }) => buffer.mapAsync(1, 0, at))); // READ
        return places.map(({ group, offset, bytes }) =>
          groups[group]!.buffer.getMappedRange(offset, bytes).slice(0)
        );
      },
      release: () => {
        for (const { buffer } of groups) this.#give(buffer);
      },
    };
  }

  #take(bytes: number): GPUBuffer {
    const at = this.#idle.findIndex((buffer) =>
      buffer.size >= bytes && buffer.size <= Math.max(4096, 4 * bytes)
    );
    if (at >= 0) return this.#idle.splice(at, 1)[0]!;
    const size = Math.min(
      this.#device.limits.maxBufferSize,
      2 ** Math.ceil(Math.log2(Math.max(bytes, 1024))),
    );
    return this.#device.createBuffer({ size: Math.max(size, bytes), usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
  }

  #give(buffer: GPUBuffer): void {
    if (buffer.mapState === "mapped") buffer.unmap();
    const held = this.#idle.reduce((sum, { size }) => sum + size, 0);
    if (buffer.mapState === "unmapped" && held + buffer.size <= KEPT) this.#idle.push(buffer);
    else buffer.destroy();
  }
}
