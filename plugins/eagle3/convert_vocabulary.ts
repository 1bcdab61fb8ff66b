/** Size of a verifier's vocabulary, wherever its config says it. */
import type { ConvertRequest } from "../../core/conversion.ts";
import { ConfigError } from "../../core/errors.ts";
import { verifierOf } from "../_shared/convert_config.ts";

/** Deepest nesting that is searched. */
const MAX_DEPTH = 16;

/**
 * `vocab_size` of the verifier's config, else of the first object within it that has one.
 *
 * @param embedded rows of the checkpoint's own embedding, which say it where nothing else does
 * @throws {ConfigError} when nothing says it
 */
export function verifierVocabulary(request: ConvertRequest, embedded: number | undefined): number {
  const { config, nameOrPath } = verifierOf(request), top = config["vocab_size"];
  const stop = request.strictUpstream && top === null;
  const found = typeof top === "number" ? top : stop ? null : nested(config, 0);
  const size = found ?? (request.strictUpstream ? null : embedded ?? null);
  if (size !== null && Number.isInteger(size) && size > 0 && size <= 2 ** 24) return size;
  throw new ConfigError(
    `${nameOrPath}/config.json: vocab_size`,
    `expected the size of the verifier's vocabulary, received ${JSON.stringify(size)}`,
    { hint: "Give a verifier whose config.json says it, or a checkpoint with t2d" },
  );
}

function nested(config: Readonly<Record<string, unknown>>, depth: number): number | null {
  if (depth > MAX_DEPTH) return null;
  for (const value of Object.values(config)) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) continue;
    const inner = value as Record<string, unknown>, size = inner["vocab_size"];
    if (typeof size === "number") return size;
    const deeper = nested(inner, depth + 1);
    if (deeper !== null) return deeper;
  }
  return null;
}
