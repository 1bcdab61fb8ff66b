/**
 * JSON as Python's `json` module spells it. Python keeps `1` and `1.0` apart and JavaScript does not, so which numbers
 * of a text were floats is remembered beside the objects they stand in: a file that is read and written again has the
 * same bytes, while the program sees plain numbers.
 *
 * @module
 */

/**
 * The text of every whole number, by the object or array it stands in and its key there. Values that no text was parsed
 * into have none.
 */
const spellings = new WeakMap<object, Map<string, string>>();

/** Deepest nesting that is read: hostile input must not exhaust the stack. */
const MAX_DEPTH = 200;

/** How {@linkcode formatPythonJson} lays out its text. */
export interface PythonJsonOptions {
  /** Spaces a level; 2 unless given. */
  readonly indent?: number;
  /** Order keys by code point, as transformers' `save_pretrained` does; true unless given. */
  readonly sortKeys?: boolean;
  /** Fields that are floats where the number was not parsed from a text. */
  readonly floatFields?: ReadonlySet<string>;
}

/**
 * Parses JSON and remembers which whole numbers were floats.
 *
 * @param text an object or a list; of a number on its own nothing is remembered
 * @throws {SyntaxError} when it is not JSON, or is nested deeper than 200 levels
 */
export function parsePythonJson(text: string): unknown {
  checkDepth(text);
  return JSON.parse(text, remember as (this: unknown, key: string, value: unknown) => unknown);
}

/** A reviver that changes nothing. `context.source` is the number's text (ECMAScript 2026). */
function remember(this: object, key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (Number.isInteger(value) && context.source !== undefined) {
    const spelling = spellings.get(this) ?? new Map<string, string>();
    spellings.set(this, spelling.set(key, context.source));
  }
  return value;
}

/**
 * A copy of `output` that spells its numbers as `input` does and has the keys in `input`'s order, new ones last. For
 * values that a schema has rebuilt.
 */
export function spelledLike<T>(output: T, input: unknown): T {
  if (typeof output !== "object" || output === null || typeof input !== "object" || input === null) {
    return output;
  }
  const from = input as Record<string, unknown>, to = output as Record<string, unknown>;
  let copy: unknown;
  if (Array.isArray(output)) {
    copy = output.map((item, i) => spelledLike(item, (input as unknown[])[i]));
  } else {
    const keys = new Set([...Object.keys(from).filter((key) => Object.hasOwn(to, key)), ...Object.keys(to)]);
    copy = Object.fromEntries([...keys].map((key) => [key, spelledLike(to[key], from[key])]));
  }
  const spelling = spellings.get(input);
  if (spelling !== undefined) spellings.set(copy as object, spelling);
  return copy as T;
}

/**
 * Formats a value as Python's `json.dumps(value, indent=2, sort_keys=True)` does. A number is a float when it is not
 * whole, when its text was one, or, where it was not parsed from a text, when its field is one of `floatFields`.
 *
 * @throws {TypeError} for what JSON cannot hold: functions, symbols, big integers, NaN and infinities
 */
export function formatPythonJson(value: unknown, options: PythonJsonOptions = {}): string {
  const { indent = 2, sortKeys = true, floatFields = new Set<string>() } = options;

  function format(value: unknown, key: string, holder: object | null, margin: string): string {
    if (value === null || typeof value === "boolean") return String(value);
    if (typeof value === "string") return asciiString(value);
    if (typeof value === "number") return number(value, key, holder);
    if (typeof value !== "object") {
      throw new TypeError(`expected a JSON value at "${key}", received ${typeof value}`);
    }
    const inner = margin + " ".repeat(indent);
    const [open, close, items] = Array.isArray(value)
      ? ["[", "]", value.map((item, i) => format(item, String(i), value, inner))]
      : ["{", "}", fields(value, inner)];
    if (items.length === 0) return open + close;
    return `${open}\n${inner}${items.join(`,\n${inner}`)}\n${margin}${close}`;
  }

  function fields(value: object, margin: string): string[] {
    const entries = Object.entries(value).filter(([, field]) => field !== undefined);
    if (sortKeys) entries.sort(([a], [b]) => byCodePoint(a, b));
    return entries.map(([key, field]) => `${asciiString(key)}: ${format(field, key, value, margin)}`);
  }

  function number(value: number, key: string, holder: object | null): string {
    if (!Number.isFinite(value)) {
      throw new TypeError(`expected a finite number at "${key}", received ${value}`);
    }
    const source = holder === null ? undefined : spellings.get(holder)?.get(key);
    const float = !Number.isInteger(value) || Object.is(value, -0) ||
      (source === undefined ? floatFields.has(key) : /[.eE]/.test(source));
    if (float) return pythonFloat(value);
    // Python's integers have any size: the digits that were read are more exact than the number.
    return source !== undefined && Number(source) === value ? source : BigInt(value).toString();
  }

  return format(value, "", null, "");
}

/** Python's `repr` of a float: the shortest digits, as in JavaScript, but an exponent below 1e-4 and from 1e16 on. */
function pythonFloat(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e16)) {
    const text = String(value);
    return text.includes(".") ? text : `${text}.0`;
  }
  const [mantissa, exponent] = value.toExponential().split("e") as [string, string];
  return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** A string in ASCII, every UTF-16 unit beyond it escaped, as Python does by default. */
function asciiString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** UTF-16 units order astral characters before U+E000; Python orders code points. */
function byCodePoint(a: string, b: string): number {
  const left = [...a], right = [...b];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function checkDepth(text: string): void {
  let depth = 0, inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (char === "\\") i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "[" || char === "{") depth++;
    else if (char === "]" || char === "}") depth--;
    if (depth > MAX_DEPTH) throw new SyntaxError(`nesting deeper than ${MAX_DEPTH} levels`);
  }
}
