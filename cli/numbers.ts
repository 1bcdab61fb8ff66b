/** Parsers of numbers in flags, which say what was expected. */
import { InvalidArgumentError } from "./_commander.ts";

/** A parser of whole numbers from `min` on. */
export function whole(min = 0): (value: string) => number {
  return (value) => {
    const n = Number(value);
    if (/^\d+$/.test(value) && Number.isSafeInteger(n) && n >= min) return n;
    throw new InvalidArgumentError(`expected a whole number from ${min} on, received "${value}"`);
  };
}

/** A parser of whole numbers that are given one after the other. */
export function wholes(value: string, before: readonly number[] | undefined): number[] {
  return [...before ?? [], whole()(value)];
}

/** A parser of numbers within bounds; with `open`, `min` itself is left out. */
export function decimal(
  min: number,
  options: { readonly max?: number; readonly open?: boolean } = {},
): (value: string) => number {
  const { max = Infinity, open = false } = options;
  return (value) => {
    const n = Number(value);
    if (value.trim() !== "" && Number.isFinite(n) && (open ? n > min : n >= min) && n <= max) return n;
    const bounds = `${open ? "above" : "from"} ${min}${max === Infinity ? " on" : ` to ${max}`}`;
    throw new InvalidArgumentError(`expected a number ${bounds}, received "${value}"`);
  };
}

/** Object without the entries that are undefined: what was not given on the command line is not given at all. */
export function given<T extends object>(flags: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)) as never;
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};

/** A number of bytes: `500MB`, `2GiB`, `1000`. */
export function byteCount(value: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?([kmg]?i?)b?$/i.exec(value) ?? [];
  const size = number === undefined ? NaN : Math.floor(Number(number) * (UNITS[unit!.toLowerCase()] ?? NaN));
  if (Number.isSafeInteger(size) && size > 0) return size;
  throw new InvalidArgumentError(`Expected a size such as 5GB or 500MB, received "${value}".`);
}
