/**
 * Where the golden files lie: outputs of the Python system and of Hugging Face transformers that tests compare with.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Path of a golden file or folder; the environment variable `GOLDENS` names another set of the same layout. */
export function golden(...parts: string[]): string {
  const folder = Deno.env.get("GOLDENS") || fileURLToPath(new URL("./golden", import.meta.url));
  return join(folder, ...parts);
}

/** The content of a golden index file (`index.json`, `cases.json`, `manifest.json`). */
export function goldenJson<T>(...parts: string[]): T {
  return JSON.parse(Deno.readTextFileSync(golden(...parts))) as T;
}
