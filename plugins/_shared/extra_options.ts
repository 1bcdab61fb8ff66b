/** Settings that only one algorithm knows, as a user gives them by name. */
import { ConfigError } from "../../core/errors.ts";

/** Reads settings by name and says what was expected of each. */
export class ExtraOptions {
  readonly #given: Readonly<Record<string, unknown>>;

  /**
   * @param known every name that the algorithm reads somewhere
   * @throws {ConfigError} for a name that it does not: to leave it out silently would make another draft than asked
   */
  constructor(given: Readonly<Record<string, unknown>> | undefined, known: readonly string[]) {
    this.#given = given ?? {};
    const unknown = Object.keys(this.#given).find((name) => !known.includes(name));
    if (unknown === undefined) return;
    throw new ConfigError(unknown, `expected one of ${known.join(", ")}, received "${unknown}"`, {
      hint: "Look for the name among the draft plugin's settings",
    });
  }

  /** True or false. */
  flag(name: string, absent: boolean): boolean {
    const value = this.#given[name] ?? absent;
    if (typeof value === "boolean") return value;
    throw this.#refused(name, "true or false");
  }

  /** A whole number within bounds. */
  whole(name: string, absent: number, bounds: { readonly least: number; readonly most: number }): number {
    const value = this.#given[name] ?? absent, { least, most } = bounds;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw this.#refused(name, `a whole number from ${least} to ${most}`);
  }

  /** A number above 0. */
  positive(name: string, absent: number): number {
    const value = this.#given[name] ?? absent;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw this.#refused(name, "a number above 0");
  }

  /** Whole numbers, one or several; `null` where none were given. */
  wholes(name: string): readonly number[] | null {
    const value = this.#given[name] ?? null, all = typeof value === "number" ? [value] : value;
    if (all === null) return null;
    if (Array.isArray(all) && all.every((x) => Number.isInteger(x) && x >= 0)) return all as number[];
    throw this.#refused(name, "a list of whole numbers such as [0,1]");
  }

  #refused(name: string, expected: string): ConfigError {
    return new ConfigError(name, `expected ${expected}, received ${JSON.stringify(this.#given[name])}`);
  }
}
