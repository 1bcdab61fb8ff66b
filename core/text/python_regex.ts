/**
 * Python regular expressions for people who have them in their scripts: translated to JavaScript's.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";

/** Text that Python's `re.escape` gives. */
export function escapePython(text: string): string {
  return text.replace(/[()[\]{}?*+\-|^$\\.&~# \t\n\r\v\f]/g, (c) => "\\" + c);
}

const WORD = "\\p{L}\\p{N}_";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const CLASSES: Readonly<Record<string, string>> = {
  w: `[${WORD}]`,
  W: `[^${WORD}]`,
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  s: `[${SPACE}]`,
  S: `[^${SPACE}]`,
};
const EDGES: Readonly<Record<string, string>> = {
  A: "(?<![\\s\\S])",
  Z: "(?![\\s\\S])",
  b: `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`,
  B: `(?:(?<=[${WORD}])(?=[${WORD}])|(?<![${WORD}])(?![${WORD}]))`,
};
const CONTROLS: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", f: "\f", v: "\v", a: "\x07" };

/**
 * Translates a Python regular expression over text; `.` takes newlines too (`re.DOTALL`).
 *
 * @param where option or file it comes from, for messages
 * @throws {ConfigError} when it is no valid expression, or has what JavaScript lacks (atomic groups, possessive
 * quantifiers, conditions, verbose mode)
 */
export function pythonRegex(pattern: string, where: string): RegExp {
  try {
    return new RegExp(new Translator(pattern).run(), "gsv");
  } catch (cause) {
    const problem = `expected a regular expression, received "${pattern}": ${(cause as Error).message}`;
    throw new ConfigError(where, problem, {
      cause,
      hint:
        "Write it as Python does, without atomic groups, possessive quantifiers, conditions and verbose mode",
    });
  }
}

/** How many groups an expression has. */
export function groupCount(regex: RegExp): number {
  return new RegExp(regex.source + "|", regex.flags.replace("g", "")).exec("")!.length - 1;
}

class Translator {
  readonly #pattern: string;
  #at = 0;
  #multiline = false;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  run(): string {
    let out = "";
    let prefix = "";
    const flags = /^\(\?([aimsux]+)\)/.exec(this.#pattern);
    if (flags !== null) {
      if (/[xa]/.test(flags[1]!)) throw new SyntaxError(`unsupported flags "${flags[1]}"`);
      this.#multiline = flags[1]!.includes("m");
      if (flags[1]!.includes("i")) prefix = "(?i:";
      this.#at = flags[0].length;
    }
    while (this.#at < this.#pattern.length) out += this.#atom();
    return prefix === "" ? out : `${prefix}${out})`;
  }

  #atom(): string {
    const c = this.#take();
    switch (c) {
      case "\\":
        return this.#escape();
      case "[":
        return this.#set();
      case "(":
        return this.#group();
      case "^":
        return this.#multiline ? "(?<![^\\n])" : EDGES.A!;
      case "$":
        return this.#multiline ? "(?![^\\n])" : "(?=\\n?(?![\\s\\S]))";
      case "*":
      case "+":
      case "?":
        return this.#quantifier(c);
      case "{":
        return this.#braces();
      case ")":
      case "|":
      case ".":
        return c;
      default:
        return literal(c);
    }
  }

  #escape(): string {
    const c = this.#take();
    if (c === "") throw new SyntaxError("bad escape at the end");
    const known = CLASSES[c] ?? EDGES[c];
    if (known !== undefined) return known;
    if (/[1-9]/.test(c)) {
      const more = /^[0-9]/.exec(this.#pattern.slice(this.#at))?.[0] ?? "";
      this.#at += more.length;
      return `(?:\\${c}${more})`;
    }
    return literal(this.#character(c));
  }

  /** The character that an escape means, in and out of sets. */
  #character(c: string): string {
    if (CONTROLS[c] !== undefined) return CONTROLS[c];
    const digits = c === "x" ? 2 : c === "u" ? 4 : c === "U" ? 8 : 0;
    if (digits > 0) {
      const hex = this.#pattern.slice(this.#at, this.#at + digits);
      if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== digits) {
        throw new SyntaxError(`incomplete escape \\${c}`);
      }
      this.#at += digits;
      return String.fromCodePoint(parseInt(hex, 16));
    }
    if (c === "0") {
      const octal = /^[0-7]{0,2}/.exec(this.#pattern.slice(this.#at))![0];
      this.#at += octal.length;
      return String.fromCodePoint(parseInt("0" + octal, 8));
    }
    if (/[a-zA-Z0-9]/.test(c)) throw new SyntaxError(`bad escape \\${c}`);
    return c;
  }

  #group(): string {
    const rest = this.#pattern.slice(this.#at);
    const named = /^\?P<([A-Za-z_]\w*)>/.exec(rest);
    if (named !== null) return this.#skip(named[0].length, `(?<${named[1]}>`);
    const back = /^\?P=([A-Za-z_]\w*)\)/.exec(rest);
    if (back !== null) return this.#skip(back[0].length, `\\k<${back[1]}>`);
    const comment = /^\?#[^)]*\)/.exec(rest);
    if (comment !== null) return this.#skip(comment[0].length, "");
    const plain = /^\?(?::|=|!|<=|<!)/.exec(rest);
    if (plain !== null) return this.#skip(plain[0].length, "(" + plain[0]);
    const flags = /^\?([aimsux]*(?:-[imsx]+)?):/.exec(rest);
    if (flags !== null && !/[axm]/.test(flags[1]!)) {
      return this.#skip(flags[0].length, `(?${flags[1]!.replace("u", "")}:`);
    }
    if (rest.startsWith("?")) throw new SyntaxError(`unsupported group (${rest.slice(0, 3)}`);
    return "(";
  }

  #skip(count: number, out: string): string {
    this.#at += count;
    return out;
  }

  #quantifier(c: string): string {
    const lazy = this.#pattern[this.#at];
    if (lazy === "+") throw new SyntaxError(`unsupported possessive quantifier ${c}+`);
    return c;
  }

  #braces(): string {
    const count = /^(\d*)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#at));
    if (count === null || (count[1] === "" && count[3] === "" && count[2] === "")) return "\\{";
    if (count[1] === "" && count[3] === "") return "\\{";
    this.#at += count[0].length;
    if (this.#pattern[this.#at] === "+") throw new SyntaxError("unsupported possessive quantifier }+");
    return `{${count[1] || "0"}${count[2]}${count[3]}}`;
  }

  #set(): string {
    let out = "[";
    if (this.#pattern[this.#at] === "^") out += this.#take();
    for (let first = true;; first = false) {
      const c = this.#take();
      if (c === "") throw new SyntaxError("unterminated character set");
      if (c === "]" && !first) return out + "]";
      if (c === "\\") {
        const e = this.#take();
        const known = CLASSES[e];
        out += known ?? literal(e === "b" ? "\b" : this.#character(e));
      } else if (c === "-" && !first && this.#pattern[this.#at] !== "]" && !/\[\^?$/.test(out)) {
        out += "-";
      } else out += literal(c);
    }
  }

  #take(): string {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) return "";
    const c = String.fromCodePoint(code);
    this.#at += c.length;
    return c;
  }
}

/** A character as itself, in and out of sets. */
function literal(c: string): string {
  return /^[\p{L}\p{N}_]$/u.test(c) ? c : `\\u{${c.codePointAt(0)!.toString(16)}}`;
}
