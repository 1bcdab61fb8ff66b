/** `provenance.json` beside a run's checkpoints: by what, on what and from what each call trained them. */
import { join } from "node:path";
import { FORMAT_VERSIONS } from "../config/mod.ts";
import { NotFoundError } from "../errors.ts";
import { readJson, writeJsonAtomic } from "../files.ts";

const FILE = "provenance.json";

/** One call of the trainer. */
export interface Provenance {
  /** Its command line; `null` when it was called as a library. */
  readonly command: string | null;
  /** Where it computes. */
  readonly device: string;
  /** The verifier, as the user named it. */
  readonly verifier: string;
  /** Folders of samples, and of those to validate on. */
  readonly data: {
    readonly train: readonly string[];
    readonly validation: readonly string[];
    readonly sha256: string;
  };
  /** Settings that decide what is computed, the seed among them. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The checkpoint or speculator it goes on from; `null` for first values. */
  readonly from: string | null;
}

/**
 * Adds a call to the file.
 *
 * @throws {WriteError} when it cannot be written
 */
export async function recordProvenance(folder: string, call: Provenance): Promise<void> {
  const path = join(folder, FILE);
  const before = await readJson(path).catch((error) => {
    if (error instanceof NotFoundError) return null;
    throw error;
  }) as { calls?: unknown } | null;
  const versions = {
    ...FORMAT_VERSIONS,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    system: Deno.build.target,
  };
  const calls = Array.isArray(before?.calls) ? before.calls : [];
  calls.push({ started: new Date().toISOString(), ...call, versions });
  await writeJsonAtomic(path, { calls });
}
