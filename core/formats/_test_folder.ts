/**
 * A folder for the time of a test.
 *
 * @module
 */
import { join } from "node:path";

/** A temporary folder, removed on disposal. */
export interface TestFolder extends AsyncDisposable {
  /** Its path. */
  readonly path: string;
  /** Path of a file in it. */
  at(...parts: string[]): string;
  /** Writes a file in it and returns its path. */
  put(name: string, data: Uint8Array | string): Promise<string>;
}

/** Makes a folder. */
export async function testFolder(): Promise<TestFolder> {
  const path = await Deno.makeTempDir();
  return {
    path,
    at: (...parts) => join(path, ...parts),
    async put(name, data) {
      await Deno.writeFile(
        join(path, name),
        typeof data === "string" ? new TextEncoder().encode(data) : data,
      );
      return join(path, name);
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}
