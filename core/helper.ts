/**
 * Work on other threads: a module that answers questions beside this one.
 *
 * @module
 */
import { SpeculatorsError } from "./errors.ts";

/** A question on its way to a helper, and back as its answer. */
interface Letter {
  readonly id: number;
  readonly body?: unknown;
  readonly error?: ToldError;
}

/** An error on its way to another thread, where its class and code would not get. */
export interface ToldError {
  /** Its code. */
  readonly code: string;
  /** Its message. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** What is sent, and which memory goes along instead of being copied. */
export interface Parcel {
  /** What a structured clone can hold. */
  readonly body: unknown;
  /** Memory that the sender gives away. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** Whether a helper may be loaded: a local one is read by Deno only where reading is allowed, another only where importing is. */
export function mayLoadHelper(url: URL): boolean {
  const { host, protocol } = url;
  if (protocol === "file:") {
    return Deno.permissions.querySync({ name: "read", path: url }).state === "granted";
  }
  if (!/^https?:$/.test(protocol)) return true;
  return Deno.permissions.querySync({ name: "import", host }).state === "granted";
}

/** What another thread is told of an error. */
export function tell(error: unknown): ToldError {
  const { code = "E_UNKNOWN", message, hint } = error as Partial<SpeculatorsError> & Error;
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}

/** The error that another thread told of. */
export function heard({ code, message, hint }: ToldError): SpeculatorsError {
  return new SpeculatorsError(code, message, hint === undefined ? {} : { hint });
}

/** A helper, as its owner sees it. Questions may overlap; it answers them as it is done. */
export class Helper implements Disposable {
  readonly #worker: Worker;
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;
  #failed: unknown;

  /** @param url a module that calls {@linkcode answerAsHelper} */
  constructor(url: URL) {
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data: { id, body, error } }: MessageEvent<Letter>) => {
      const question = this.#open.get(id);
      this.#open.delete(id);
      if (error === undefined) question?.resolve(body);
      else question?.reject(heard(error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failed = new Error(event.message);
      for (const question of this.#open.values()) question.reject(this.#failed);
      this.#open.clear();
    };
  }

  /**
   * Asks, and waits for the answer.
   *
   * @throws {SpeculatorsError} what the helper threw
   * @throws {Error} another one when there is no helper: its module could not be loaded, or failed
   */
  async ask<T>({ body, transfer = [] }: Parcel): Promise<T> {
    if (this.#failed !== undefined) throw this.#failed;
    const id = this.#next++, question = Promise.withResolvers<unknown>();
    this.#open.set(id, question);
    this.#worker.postMessage({ id, body } satisfies Letter, { transfer: [...transfer] });
    return await question.promise as T;
  }

  /** Ends it; what it is at is not finished. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Makes this thread a helper: whatever comes is worked, and what comes of it is sent back. */
export function answerAsHelper<T>(work: (body: T) => Promise<Parcel>): void {
  const { self } = globalThis as unknown as {
    self: { onmessage: unknown; postMessage(letter: Letter, options?: { transfer: ArrayBuffer[] }): void };
  };
  self.onmessage = async ({ data: { id, body } }: MessageEvent<Letter>) => {
    try {
      const answer = await work(body as T);
      self.postMessage({ id, body: answer.body }, { transfer: [...answer.transfer ?? []] });
    } catch (error) {
      self.postMessage({ id, error: tell(error) });
    }
  };
}
