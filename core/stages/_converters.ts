/** Finding the converter that a user means, and checking the options that it is given. */
import type { DraftConverter } from "../conversion.ts";
import { ConfigError } from "../errors.ts";
import type { Registry } from "../registry.ts";

/**
 * The converter of an algorithm that reads foreign checkpoints.
 *
 * @throws {ConfigError} when none is named, or the algorithm has none
 */
export async function inwardConverter(
  registry: Registry,
  algorithm: string | undefined,
): Promise<DraftConverter> {
  if (algorithm === undefined) {
    throw new ConfigError("algorithm", "expected the algorithm of the checkpoint, received none", {
      hint: "Name it with --algorithm, or the layout to write with --to",
    });
  }
  const found = (await convertersOf(registry, algorithm)).find(({ direction }) => direction === "in");
  if (found) return found;
  throw new ConfigError(
    "algorithm",
    `expected an algorithm that published checkpoints can be converted to, received "${algorithm}"`,
    { hint: "Take eagle, hass or eagle3, or bring a plugin with converters with --plugin" },
  );
}

/**
 * The converter that writes a foreign layout from a speculator.
 *
 * @throws {ConfigError} when the speculator's algorithm does not have this one
 */
export async function foreignWriter(
  registry: Registry,
  wanted: { readonly to: string; readonly config: Readonly<Record<string, unknown>>; readonly where: string },
): Promise<DraftConverter> {
  const { to, config, where } = wanted, type = config["speculators_model_type"];
  if (typeof type !== "string") {
    throw new ConfigError(
      `${where}/config.json: speculators_model_type`,
      "expected a speculator to be written in another layout, received another model",
      { hint: "A published checkpoint is converted to the speculators format first" },
    );
  }
  const writers = (await convertersOf(registry, type)).filter(({ direction }) => direction === "out");
  const found = writers.find(({ name }) => name === to);
  if (found) return found;
  const known = writers.map(({ name }) => `"${name}"`).join(", ") || "none";
  throw new ConfigError("to", `expected one of the layouts of ${type} (${known}), received "${to}"`, {
    hint: "Leave --to away to convert to the speculators format",
  });
}

async function convertersOf(registry: Registry, algorithm: string): Promise<readonly DraftConverter[]> {
  const plugin = await registry.get("draft", algorithm);
  return (await plugin.load()).converters?.() ?? [];
}

/**
 * The options that were given, those that are `null` or `undefined` left out.
 *
 * @throws {ConfigError} when a converter does not take one, or it is of another kind
 */
export function checkOptions(
  converter: DraftConverter,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const kind = Object.hasOwn(converter.options, name) ? converter.options[name] : undefined;
    if (kind === undefined) {
      const known = Object.keys(converter.options).join(", ") || "none";
      throw new ConfigError("algorithm-kwargs", `expected options among ${known}, received "${name}"`, {
        hint: "Is this the algorithm of the checkpoint?",
      });
    }
    if (value === null || value === undefined) continue;
    const fits = kind === "boolean" ? typeof value === "boolean" : isLayers(value);
    if (!fits) {
      throw new ConfigError(
        `algorithm-kwargs: ${name}`,
        `expected ${kind === "boolean" ? "true or false" : "a list of layer ids"}, received ${
          JSON.stringify(value)?.slice(0, 80)
        }`,
        {
          hint: kind === "boolean"
            ? "Write true or false, without quotes"
            : "Write a list such as [2, 16, 29]",
        },
      );
    }
    options[name] = value;
  }
  return options;
}

function isLayers(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.length <= 256 &&
    value.every((id) => Number.isInteger(id) && id >= 0);
}
