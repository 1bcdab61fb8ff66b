/** Which losses a run trains with: a name, or names with weights, as the Python system writes them. */
import { ConfigError } from "./errors.ts";
import type { LossTerm } from "./plugin.ts";
import type { Registry } from "./registry.ts";

/** Most terms of a sum: each computes on all rows. */
const MOST_TERMS = 16;

/**
 * The loss that a text names: `tv`, or a JSON object of names and weights such as `{"ce": 0.1, "tv": 0.9}`.
 *
 * source: speculators v0.7.0.1, `models/metrics.py` (`resolve_loss_config`)
 *
 * @throws {ConfigError} when the text is neither
 * @throws {NotFoundError} when no loss plugin has that name; lists the known ones
 */
export async function resolveLoss(spec: string, registry: Registry): Promise<LossTerm[]> {
  const text = spec.trim();
  const weights: [string, unknown][] = text.startsWith("{") ? Object.entries(parsed(text)) : [[text, 1]];
  if (weights.length === 0 || weights.length > MOST_TERMS) {
    throw refused(spec, `expected 1 to ${MOST_TERMS} losses, received ${weights.length}`);
  }
  const terms: LossTerm[] = [];
  for (const [name, weight] of weights) {
    if (typeof weight !== "number" || !Number.isFinite(weight)) {
      throw refused(spec, `expected a number as the weight of "${name}", received ${JSON.stringify(weight)}`);
    }
    const plugin = await registry.get("loss", name), { rows } = await plugin.load();
    terms.push({ name, weight, rows });
  }
  return terms;
}

function parsed(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refused(text, `expected JSON, received ${(cause as Error).message}`, cause);
  }
  return value as object; // it begins with a brace
}

function refused(spec: string, found: string, cause?: unknown): ConfigError {
  return new ConfigError("loss-fn", `${found} in ${spec}`, {
    hint: `Give a name, as in tv, or weights by name, as in {"ce": 0.1, "tv": 0.9}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
