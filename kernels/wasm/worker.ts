/**
 * A helper of the pool: joins the jobs that the main thread posts in shared memory. It sleeps in its event loop, so that
 * it can be ended there, and leaves by itself when nothing has come for a while.
 */
/// <reference lib="deno.worker" />
import { initSync } from "../lib/threads.js";

/** What the pool sends first. */
export interface Start {
  /** The crate. */
  readonly module: WebAssembly.Module;
  /** The memory that all threads share. */
  readonly memory: WebAssembly.Memory;
  /** Address of the pool's control block. */
  readonly control: number;
  /** Number of this thread; the caller is 0. */
  readonly thread: number;
}

/** Words of the control block: see `Control` in the crate. */
const SEQUENCE = 0, ENTERED = 2, PRESENT = 3, STOP = 4, FAILED = 5;
/** Bytes of a helper's stack: a kernel needs little. */
const STACK = 1 << 18;
/** Milliseconds without work after which a helper leaves. */
const PATIENCE = 2000;

/** Joins jobs until it is told to leave or has waited long enough. */
async function help(exports: ReturnType<typeof initSync>, words: Int32Array, start: Start): Promise<void> {
  while (true) {
    let seen: number;
    try {
      seen = exports.pool_help(start.control, start.thread);
    } catch (error) { // a trap inside a job: the caller must not wait for it
      Atomics.store(words, FAILED, 1);
      Atomics.sub(words, ENTERED, 1);
      throw error;
    }
    if (seen < 0) return;
    const wait = Atomics.waitAsync(words, SEQUENCE, seen, PATIENCE);
    const outcome = await wait.value;
    exports.pool_awake(start.control);
    if (outcome === "timed-out") return;
  }
}

self.onmessage = async ({ data: start }: MessageEvent<Start>) => {
  const words = new Int32Array(start.memory.buffer, start.control, 8);
  if (Atomics.load(words, STOP) === 0) {
    const exports = initSync({ module: start.module, memory: start.memory, thread_stack_size: STACK });
    Atomics.add(words, PRESENT, 1);
    self.postMessage("ready");
    try {
      await help(exports, words, start);
    } finally {
      exports.__wbindgen_thread_destroy();
      Atomics.sub(words, PRESENT, 1);
      self.postMessage("left");
    }
  }
  self.close();
};
