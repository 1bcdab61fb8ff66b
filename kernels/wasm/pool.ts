/** Threads that share a backend's jobs. */
import { DeviceError } from "../../core/errors.ts";
import type { Runtime } from "./runtime.ts";
import type { Start } from "./worker.ts";

/** Words of the control block: see `Control` in the crate. */
const SEQUENCE = 0, PRESENT = 3, STOP = 4, FAILED = 5;
/** Most arguments of a kernel: `MAX_ARGS` in the crate. */
const MAX_ARGS = 48;
/** Milliseconds to wait for helpers to leave; they need a fraction of one. */
const FAREWELL = 50;

/** Whether a worker may be loaded: a local one is read by Deno only where reading is allowed. */
function mayLoad(url: URL): boolean {
  if (url.protocol !== "file:" || typeof Deno === "undefined") return true;
  return Deno.permissions.querySync({ name: "read", path: url }).state === "granted";
}

/** The caller and its helpers. A job never waits for a helper that has not joined it. */
export class Pool {
  /** Threads, with the caller. */
  readonly threads: number;
  readonly #runtime: Runtime;
  readonly #control: number;
  #words: Int32Array;
  #args: Float64Array;
  readonly #workers = new Map<number, Worker>();
  readonly #starting = new Map<number, Promise<boolean>>();
  #broken = false;

  /** @param threads threads wanted, with the caller */
  constructor(runtime: Runtime, threads: number) {
    this.#runtime = runtime;
    this.threads = runtime.module ? threads : 1;
    this.#control = runtime.exports.pool_new() >>> 0;
    this.#words = new Int32Array(runtime.buffer, this.#control, 8);
    this.#args = this.#views();
  }

  /** Threads that work now, with the caller. */
  get present(): number {
    return 1 + Atomics.load(this.#words, PRESENT);
  }

  /** Starts the helpers, and waits until they are there or have failed to start. */
  async start(): Promise<void> {
    this.#revive();
    await Promise.all(this.#starting.values());
  }

  /**
   * Runs a kernel over items and waits.
   *
   * @throws {DeviceError} when it failed on another thread
   */
  launch(kernel: number, args: readonly number[], items: number, grain: number): void {
    if (items <= 0) return;
    if (this.#args.length === 0) this.#args = this.#views();
    const slots = this.#args;
    for (let i = 0; i < args.length; i++) slots[i] = args[i]!;
    if (items <= grain || this.threads === 1) {
      this.#runtime.exports.pool_launch(this.#control, kernel, items, items);
      return;
    }
    const words = this.#words;
    if (words[PRESENT]! < this.threads - 1) this.#revive();
    this.#runtime.exports.pool_launch(this.#control, kernel, items, grain);
    if (words[FAILED] !== 0) {
      throw new DeviceError("Cannot run a kernel: expected all threads to finish, received a trap on one", {
        hint: "The backend is not usable any more: open another",
      });
    }
  }

  /** Lets the helpers leave, and ends those that have. */
  [Symbol.dispose](): void {
    this.#broken = true;
    if (this.threads === 1) return;
    Atomics.store(this.#words, STOP, 1);
    Atomics.add(this.#words, SEQUENCE, 1);
    Atomics.notify(this.#words, SEQUENCE);
    const end = performance.now() + FAREWELL;
    while (Atomics.load(this.#words, PRESENT) > 0 && performance.now() < end);
    // One that is still starting would leave the allocator locked: it sees the flag and leaves by itself.
    for (const [thread, worker] of this.#workers) if (!this.#starting.has(thread)) worker.terminate();
    this.#workers.clear();
  }

  #views(): Float64Array {
    const { exports, buffer } = this.#runtime;
    return new Float64Array(buffer, exports.pool_args(this.#control) >>> 0, MAX_ARGS);
  }

  /** Starts the helpers that are not there: all at first, later those that left for want of work. */
  #revive(): void {
    for (let thread = 1; thread < this.threads && !this.#broken; thread++) {
      if (!this.#workers.has(thread)) this.#spawn(thread);
    }
  }

  #spawn(thread: number): void {
    const { module, exports: { memory } } = this.#runtime;
    const url = new URL("./worker.ts", import.meta.url);
    if (!mayLoad(url)) { // fewer threads compute the same
      this.#broken = true;
      return;
    }
    const worker = new Worker(url, { type: "module" });
    const ready = new Promise<boolean>((resolve) => {
      worker.onmessage = ({ data }) => {
        if (data === "ready") return resolve(true);
        worker.terminate(); // it has left
        if (this.#workers.get(thread) === worker) this.#workers.delete(thread);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        this.#broken = true;
        resolve(false);
      };
    });
    this.#workers.set(thread, worker);
    this.#starting.set(thread, ready);
    ready.then(() => this.#starting.delete(thread));
    worker.postMessage({ module: module!, memory, control: this.#control, thread } satisfies Start);
  }
}
