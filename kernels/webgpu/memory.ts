/** Buffers by size class, and freed ones kept for reuse in an order that no pending work can notice. */

/** Usage of every tensor's buffer. */
const USAGE = 0x80 | 0x08 | 0x04; // STORAGE | COPY_DST | COPY_SRC

/** A buffer of the pool. */
export interface Block {
  /** The buffer; its size is the class's size. */
  readonly buffer: GPUBuffer;
  /** The submission that last used it, or will. */
  epoch: number;
}

/** A size rounded up to one of four classes per power of two, so that at most a fifth is lost. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(8, Math.floor(Math.log2(bytes - 1)) - 2);
  return Math.ceil(bytes / step) * step;
}

/** Keeps freed buffers. Work on one queue runs in order, so a new kernel may take a buffer that a pending one still reads. */
export class Pool {
  readonly #device: GPUDevice;
  readonly #limit: number;
  readonly #free = new Map<number, Block[]>();
  #held = 0;

  constructor(device: GPUDevice, limit: number) {
    this.#device = device;
    this.#limit = limit;
  }

  /**
   * A buffer of at least `bytes`, its content undefined. With `before`, only one that no submission from that number
   * on uses: a write by the queue happens before commands that are still being recorded.
   */
  take(bytes: number, before: number = Infinity): Block {
    const size = sizeClass(bytes);
    const list = this.#free.get(size);
    const at = list ? list.findLastIndex((block) => block.epoch < before) : -1;
    if (list && at >= 0) {
      this.#held -= size;
      return list.splice(at, 1)[0]!;
    }
    return { buffer: this.#device.createBuffer({ size, usage: USAGE }), epoch: -1 };
  }

  /** Takes a buffer back; `epoch` is the submission being recorded. */
  give(block: Block, epoch: number): void {
    block.epoch = epoch;
    const { size } = block.buffer;
    const list = this.#free.get(size);
    if (list) list.push(block);
    else this.#free.set(size, [block]);
    this.#held += size;
  }

  /** Destroys the largest freed buffers that no submission from `epoch` on uses, while more than the limit is held. */
  trim(epoch: number): void {
    if (this.#held <= this.#limit) return;
    for (const size of [...this.#free.keys()].sort((a, b) => b - a)) {
      const list = this.#free.get(size)!;
      for (let i = list.length - 1; i >= 0 && this.#held > this.#limit; i--) {
        if (list[i]!.epoch >= epoch) continue;
        list.splice(i, 1)[0]!.buffer.destroy();
        this.#held -= size;
      }
      if (list.length === 0) this.#free.delete(size);
    }
  }
}
