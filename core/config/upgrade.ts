/**
 * Brings configs of older versions up to date. One rule a known difference; a config that has none comes back as it is.
 *
 * @module
 */
import { spelledLike } from "./python_json.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * Fields renamed since, at the top and in the layers' config.
 *
 * source: transformers 4.56, which writes `dtype` for what it called `torch_dtype` before and still reads that
 */
const RENAMED: readonly (readonly [old: string, now: string])[] = [["torch_dtype", "dtype"]];

/** The config as today's version would write it. */
export function upgradeConfig(config: Fields): Fields {
  const layers = config["transformer_layer_config"];
  const top = rename(config);
  if (typeof layers !== "object" || layers === null || Array.isArray(layers)) return top;
  const inner = rename(layers as Fields);
  return inner === layers ? top : spelledLike({ ...top, transformer_layer_config: inner }, top);
}

function rename(fields: Fields): Fields {
  if (!RENAMED.some(([old]) => old in fields)) return fields;
  const names = new Map(RENAMED);
  const entries = Object.entries(fields)
    .filter(([key]) => !(names.has(key) && names.get(key)! in fields))
    .map(([key, value]) => [names.get(key) ?? key, value] as const);
  return spelledLike(Object.fromEntries(entries), fields);
}
