/** A run's settings for loggers that know no trees. */

/** Leaves of a tree of settings by their path, `draft.numLayers`; lists become JSON, what is undefined is left out. */
export function flatSettings(
  settings: Readonly<Record<string, unknown>>,
): Map<string, string | number | boolean> {
  const found = new Map<string, string | number | boolean>();
  const walk = (prefix: string, value: unknown): void => {
    if (value === undefined) return;
    if (typeof value === "number" || typeof value === "boolean" || typeof value === "string") {
      found.set(prefix, value);
    } else if (value === null || typeof value !== "object" || Array.isArray(value)) {
      found.set(prefix, JSON.stringify(value) ?? String(value));
    } else {
      for (const [name, child] of Object.entries(value)) {
        walk(prefix === "" ? name : `${prefix}.${name}`, child);
      }
    }
  };
  walk("", settings);
  return found;
}
