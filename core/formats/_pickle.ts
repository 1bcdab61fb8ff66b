/**
 * A machine for Python's pickles, protocols 0 to 5, that makes plain values and nothing else: names are looked up in
 * a fixed table, and only the functions of that table are ever called.
 *
 * Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py (the opcodes' descriptions).
 *
 * @module
 */
import type { FormatError } from "../errors.ts";
import { PickleReader } from "./_pickle_reader.ts";
import { Callable, hashable, OrderedMap, resolveGlobal } from "./_torch_globals.ts";
import { TorchTuple, type TorchValue } from "./_torch_values.ts";

/** Most values that one pickle may put on its stack. */
const MAX_VALUES = 8_000_000;

/** What {@linkcode unpickle} works with. */
export interface UnpickleOptions {
  /** Path of the file, for messages. */
  readonly file: string;
  /** Where in the bytes the pickle begins. */
  readonly at?: number;
  /** What a persistent id stands for. */
  persistent(id: unknown, fail: (expected: string, received: unknown) => FormatError): unknown;
}

/**
 * Reads one pickle.
 *
 * @returns its value, not yet checked for depth and kind, and where the next one begins
 * @throws {FormatError} when it is damaged, too large, or refers to a name that is not allowed
 */
export function unpickle(bytes: Uint8Array, options: UnpickleOptions): { value: unknown; end: number } {
  const machine = new Machine(bytes, options);
  while (machine.step());
  return { value: machine.result(), end: machine.position() };
}

class Machine {
  readonly #in: PickleReader;
  readonly #options: UnpickleOptions;
  readonly #memo = new Map<number, unknown>();
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = [];
  #pushed = 0;

  constructor(bytes: Uint8Array, options: UnpickleOptions) {
    this.#in = new PickleReader(bytes, options.file, options.at);
    this.#options = options;
  }

  position(): number {
    return this.#in.at;
  }

  result(): unknown {
    // What lies under it is of no use, and Python leaves it too.
    return this.#pop();
  }

  /** Runs one opcode; false at the end. */
  step(): boolean {
    const code = this.#in.uint(1);
    switch (String.fromCharCode(code)) {
      case ".":
        return false;
      case "\x80": {
        const protocol = this.#in.uint(1);
        if (protocol > 5) throw this.#in.fail("protocol 0 to 5", `${protocol}`);
        return true;
      }
      case "\x95": // FRAME: only groups what follows.
        return this.#within(this.#in.count8());
      case "(":
        this.#marks.push(this.#stack.length);
        return true;
      case "0":
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return true;
      case "1":
        this.#popMark();
        return true;
      case "2":
        return this.#push(this.#top());
    }
    return this.#scalar(code) || this.#container(code) || this.#memory(code) || this.#object(code) ||
      this.#unknown(code);
  }

  #scalar(code: number): boolean {
    const reader = this.#in;
    switch (String.fromCharCode(code)) {
      case "N":
        return this.#push(null);
      case "\x88":
        return this.#push(true);
      case "\x89":
        return this.#push(false);
      case "I": {
        const text = reader.line();
        return this.#push(text === "01" ? true : text === "00" ? false : reader.decimal(text));
      }
      case "J":
        return this.#push(reader.int32());
      case "K":
        return this.#push(reader.uint(1));
      case "M":
        return this.#push(reader.uint(2));
      case "L":
        return this.#push(reader.decimal(reader.line().replace(/L$/, "")));
      case "\x8a":
        return this.#push(reader.long(reader.uint(1)));
      case "\x8b":
        return this.#push(reader.long(reader.uint(4)));
      case "G":
        return this.#push(reader.double());
      case "F":
        return this.#push(this.#float(reader.line()));
      case "S":
        return this.#push(this.#quoted(reader.line()));
      case "V":
        return this.#push(this.#escaped(reader.line(), /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g));
      case "T":
        return this.#push(reader.text(reader.uint(4)));
      case "U":
        return this.#push(reader.text(reader.uint(1)));
      case "X":
        return this.#push(reader.text(reader.uint(4)));
      case "\x8c":
        return this.#push(reader.text(reader.uint(1)));
      case "\x8d":
        return this.#push(reader.text(reader.count8()));
      case "B":
        return this.#push(reader.take(reader.uint(4)).slice());
      case "C":
        return this.#push(reader.take(reader.uint(1)).slice());
      case "\x8e":
      case "\x96":
        return this.#push(reader.take(reader.count8()).slice());
    }
    return false;
  }

  #container(code: number): boolean {
    switch (String.fromCharCode(code)) {
      case "]":
        return this.#push([]);
      case "l":
        return this.#push(this.#popMark());
      case "a":
        return this.#append([this.#pop()]);
      case "e":
        return this.#append(this.#popMark());
      case "}":
        return this.#push(new Map());
      case "d": {
        const items = this.#popMark();
        this.#push(new Map());
        return this.#setItems(items);
      }
      case "s": {
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case "u":
        return this.#setItems(this.#popMark());
      case ")":
        return this.#tuple([]);
      case "t":
        return this.#tuple(this.#popMark());
      case "\x85":
      case "\x86":
      case "\x87":
        return this.#tuple(Array.from({ length: code - 0x84 }, () => this.#pop()).reverse());
      case "\x8f":
        return this.#push(new Set());
      case "\x90": {
        const items = this.#popMark();
        const set = this.#top();
        if (!(set instanceof Set)) throw this.#fail("a set to add to", set);
        for (const item of items) set.add(hashable(item, this.#fail));
        return true;
      }
      case "\x91":
        return this.#push(new Set(this.#popMark().map((item) => hashable(item, this.#fail))));
    }
    return false;
  }

  #memory(code: number): boolean {
    const reader = this.#in;
    switch (String.fromCharCode(code)) {
      case "p":
        return this.#put(Number(reader.decimal(reader.line())));
      case "q":
        return this.#put(reader.uint(1));
      case "r":
        return this.#put(reader.uint(4));
      case "\x94":
        return this.#put(this.#memo.size);
      case "g":
        return this.#get(Number(reader.decimal(reader.line())));
      case "h":
        return this.#get(reader.uint(1));
      case "j":
        return this.#get(reader.uint(4));
    }
    return false;
  }

  #object(code: number): boolean {
    const { file } = this.#options;
    switch (String.fromCharCode(code)) {
      case "c":
        return this.#push(resolveGlobal(this.#in.line(), this.#in.line(), file));
      case "\x93": {
        const [name, module] = [this.#pop(), this.#pop()];
        if (typeof name !== "string" || typeof module !== "string") {
          throw this.#fail("a name of two texts", name);
        }
        return this.#push(resolveGlobal(module, name, file));
      }
      case "R":
      case "\x81": {
        const args = this.#pop();
        return this.#call(this.#pop(), args);
      }
      case "b": {
        this.#pop();
        // The attributes of a state dict (its `_metadata`) are not data; nothing else may have any.
        const object = this.#top();
        if (!(object instanceof OrderedMap)) {
          throw this.#fail("an ordered dict to give attributes to", object);
        }
        return true;
      }
      case "Q":
        return this.#push(this.#options.persistent(this.#pop(), this.#fail));
    }
    return false;
  }

  #unknown(code: number): never {
    const names: Readonly<Record<string, string>> = {
      P: "a persistent id as text",
      i: "INST, which makes an object",
      o: "OBJ, which makes an object",
      "\x92": "NEWOBJ_EX, which makes an object",
      "\x82": "a name from an extension registry",
      "\x83": "a name from an extension registry",
      "\x84": "a name from an extension registry",
      "\x97": "a buffer outside the pickle",
      "\x98": "a buffer outside the pickle",
    };
    const char = String.fromCharCode(code);
    // Which object it makes is worth telling.
    if (char === "i") resolveGlobal(this.#in.line(), this.#in.line(), this.#options.file);
    throw this.#in.fail("an opcode that makes plain data", names[char] ?? `opcode ${code}`);
  }

  #call(callee: unknown, args: unknown): boolean {
    if (!(callee instanceof Callable)) throw this.#fail("a name that may be called", callee);
    if (!(args instanceof TorchTuple)) throw this.#fail("a tuple of arguments", args);
    return this.#push(callee.call(args.items, this.#fail));
  }

  #push(value: unknown): true {
    if (++this.#pushed > MAX_VALUES) throw this.#in.fail(`at most ${MAX_VALUES} values`, "more");
    this.#stack.push(value);
    return true;
  }

  #pop(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.#in.fail("a value on the stack", "none");
    return this.#stack.pop();
  }

  #top(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.#in.fail("a value on the stack", "none");
    return this.#stack.at(-1);
  }

  #popMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#in.fail("a mark on the stack", "none");
    return this.#stack.splice(mark);
  }

  #tuple(items: unknown[]): true {
    return this.#push(new TorchTuple(items as TorchValue[]));
  }

  #append(items: unknown[]): true {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#fail("a list to append to", list);
    for (const item of items) list.push(item);
    return true;
  }

  #setItems(items: unknown[]): true {
    const map = this.#top();
    if (!(map instanceof Map)) throw this.#fail("a dict to set items of", map);
    if (items.length % 2 !== 0) throw this.#fail("keys with values", `${items.length} items`);
    for (let i = 0; i < items.length; i += 2) map.set(hashable(items[i], this.#fail), items[i + 1]);
    return true;
  }

  #put(index: number): true {
    this.#memo.set(index, this.#top());
    return true;
  }

  #get(index: number): true {
    if (!this.#memo.has(index)) throw this.#in.fail("a memo entry", `${index}, which was never put`);
    return this.#push(this.#memo.get(index));
  }

  #within(length: number): true {
    this.#in.take(length);
    this.#in.at -= length;
    return true;
  }

  #float(text: string): number {
    const special: Readonly<Record<string, number>> = { nan: NaN, inf: Infinity, "-inf": -Infinity };
    if (Object.hasOwn(special, text)) return special[text]!;
    if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
      throw this.#in.fail("a number", JSON.stringify(text));
    }
    return Number(text);
  }

  #quoted(text: string): string {
    const inner = /^(['"])(.*)\1$/s.exec(text)?.[2];
    if (inner === undefined) throw this.#in.fail("a text in quotes", JSON.stringify(text.slice(0, 40)));
    return this.#escaped(inner, /\\x([0-9a-fA-F]{2})|\\([\\'"nrt])/g);
  }

  #escaped(text: string, pattern: RegExp): string {
    const letters: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
    return text.replace(pattern, (_, short?: string, long?: string) => {
      if (short !== undefined) return String.fromCharCode(parseInt(short, 16));
      if (long!.length === 1) return letters[long!] ?? long!;
      const point = parseInt(long!, 16);
      if (point > 0x10ffff) throw this.#in.fail("a character", `\\U${long}`);
      return String.fromCodePoint(point);
    });
  }

  readonly #fail = (expected: string, received: unknown): FormatError =>
    this.#in.fail(expected, show(received));
}

/** A value in a few words. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Callable) return `the global "${value.name}"`;
  if (value instanceof TorchTuple) {
    const items = value.items.slice(0, 8).map((item) =>
      typeof item === "object" ? "…" : String(item).slice(0, 40)
    );
    return `(${items.join(", ")})`;
  }
  if (value instanceof Map) return "a dict";
  if (Array.isArray(value)) return "a list";
  return `a ${value.constructor.name}`;
}
