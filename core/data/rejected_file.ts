/**
 * `rejected.jsonl`: which records of the data sets could not be used, and why.
 *
 * @module
 */
import { basename, dirname, extname, join } from "node:path";
import { WriteError } from "../errors.ts";
import { type AtomicFile, createAtomic } from "../files.ts";

/** Name of the file in a folder of samples. */
export const REJECTED_FILE = "rejected.jsonl";

/** The file of an output that is a single file: `new.rejected.jsonl` beside `new.jsonl`. */
export function rejectedBeside(path: string): string {
  return join(dirname(path), `${basename(path, extname(path))}.${REJECTED_FILE}`);
}

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
  readonly #path: string;
  #file: AtomicFile | null = null;
  #lines: string[] = [];

  /** @param path where it goes */
  constructor(path: string) {
    this.#path = path;
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
    const path = this.#path;
    await Deno.remove(path).catch((cause) => {
      if (cause instanceof Deno.errors.NotFound) return;
      throw new WriteError(path, `expected to remove what an earlier run wrote, received ${cause.message}`, {
        cause,
      });
    });
  }

  async #flush(): Promise<void> {
    this.#file ??= await createAtomic(this.#path);
    await this.#file.write(new TextEncoder().encode(this.#lines.join("")));
    this.#lines = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }
}
