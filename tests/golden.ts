/**
 * Where the golden files lie: outputs of the Python system and of Hugging Face transformers that tests compare with.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const OWN = fileURLToPath(new URL("./golden", import.meta.url));

/**
 * Path of a golden file or folder; the environment variable `GOLDENS` names another set of the same layout. Folders that the other
 * set does not have are the project's own.
 */
export function golden(...parts: string[]): string {
  const folder = Deno.env.get("GOLDENS") || OWN, [first] = parts;
  const lacks = first !== undefined && existsSync(folder) && !existsSync(join(folder, first));
  return join(lacks ? OWN : folder, ...parts);
}

/** The content of a golden index file (`index.json`, `cases.json`, `manifest.json`). */
export function goldenJson<T>(...parts: string[]): T {
  return JSON.parse(Deno.readTextFileSync(golden(...parts))) as T;
}
