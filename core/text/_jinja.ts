/**
 * The one place that imports the template library, and mends what it does otherwise than Python: `strip`, `lstrip` and
 * `rstrip` of a text take the characters to strip.
 *
 * @module
 */
import {
  Environment,
  Interpreter,
  parse,
  Template as Library,
  tokenize,
} from "npm:@huggingface/jinja@0.5.11";

/** A parsed template. */
export interface Template {
  /** Renders it with variables. */
  render(variables: Record<string, unknown>): string;
}

/** Parses a template. Errors are the library's own. */
export function parseTemplate(source: string): Template {
  mend();
  return new Library(source);
}

interface TextValue {
  readonly value: string;
  readonly constructor: new (text: string) => TextValue;
}
interface Method {
  value: (args: readonly { readonly value?: unknown }[], scope: unknown) => unknown;
}
type Prototype = object & { [MENDED]?: true };

const MENDED = Symbol("mended");

/** The class of texts is not exported, but every rendering gives one. */
function mend(): void {
  const text = new Interpreter(new Environment()).run(parse(tokenize("a")));
  const prototype = Object.getPrototypeOf(text) as Prototype;
  if (prototype[MENDED]) return;
  const original = Object.getOwnPropertyDescriptor(prototype, "builtins")?.get;
  if (original === undefined) return;
  Object.defineProperty(prototype, MENDED, { value: true });
  const mended = new WeakSet<object>();
  Object.defineProperty(prototype, "builtins", {
    configurable: true,
    get(this: TextValue) {
      const methods = original.call(this) as Map<string, Method>;
      if (!mended.has(methods)) {
        mended.add(methods);
        for (const [name, left, right] of SIDES) {
          const method = methods.get(name);
          if (method !== undefined) {
            method.value = (args) => new this.constructor(strip(this.value, args[0]?.value, left, right));
          }
        }
      }
      return methods;
    },
  });
}

const SIDES = [["strip", true, true], ["lstrip", true, false], ["rstrip", false, true]] as const;

function strip(text: string, characters: unknown, left: boolean, right: boolean): string {
  const drop = typeof characters === "string"
    ? (c: string) => characters.includes(c)
    // What Python's `str.isspace` takes for a blank.
    : (c: string) => c === "\ufeff" ? false : /\s/.test(c) || "\x1c\x1d\x1e\x1f\x85".includes(c);
  const list = [...text];
  let start = 0;
  let end = list.length;
  while (left && start < end && drop(list[start]!)) start++;
  while (right && end > start && drop(list[end - 1]!)) end--;
  return list.slice(start, end).join("");
}
