/**
 * `rejected.jsonl`: which records of the data sets could not be used, and why.
 *
 * @module
 */
import { join } from "node:path";
import { WriteError } from "../errors.ts";
import { type AtomicFile, createAtomic } from "../files.ts";

/** Name of the file. */
export const REJECTED_FILE = "rejected.jsonl";

/** A record that could not be used. */
export interface RejectedRecord {
  /** Its file. */
  readonly path: string;
  /** Its line there, from 1. */
  readonly line: number;
  /** Why, in a short phrase. */
  readonly reason: string;
  /** More words. */
  readonly detail?: string;
}

/** Writes the file, which appears when it is complete, and only where there is something to say. */
export class RejectedFile implements AsyncDisposable {
  readonly #folder: string;
  #file: AtomicFile | null = null;
  #lines: string[] = [];

  /** @param folder the folder of samples */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Adds a record. */
  async add({ path, line, reason, detail }: RejectedRecord): Promise<void> {
    this.#lines.push(JSON.stringify({ path, line, reason, detail }) + "\n");
    if (this.#lines.length >= 1000) await this.#flush();
  }

  /**
   * Puts the file in its place; one that an earlier run wrote goes.
   *
   * @throws {WriteError} when it cannot be written
   */
  async commit(): Promise<void> {
    if (this.#file || this.#lines.length > 0) {
      await this.#flush();
      return await this.#file!.commit();
    }
    const path = join(this.#folder, REJECTED_FILE);
    await Deno.remove(path).catch((cause) => {
      if (cause instanceof Deno.errors.NotFound) return;
      throw new WriteError(path, `expected to remove what an earlier run wrote, received ${cause.message}`, {
        cause,
      });
    });
  }

  async #flush(): Promise<void> {
    this.#file ??= await createAtomic(join(this.#folder, REJECTED_FILE));
    await this.#file.write(new TextEncoder().encode(this.#lines.join("")));
    this.#lines = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }
}
