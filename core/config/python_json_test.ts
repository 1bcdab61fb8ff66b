import assert from "node:assert/strict";
import { fc } from "../formats/_fast_check.ts";
import { formatPythonJson, parsePythonJson, spelledLike } from "./python_json.ts";

function again(text: string): string {
  return formatPythonJson(parsePythonJson(text), { indent: 0, sortKeys: false }).replaceAll("\n", "");
}

Deno.test("numbers keep the kind they were read with", () => {
  for (
    const number of ["0", "0.0", "-0.0", "10000.0", "10000", "1e-05", "1.5e-07", "1e+16", "0.0001", "1e+300"]
  ) {
    assert.equal(again(`[${number}]`), `[${number}]`);
  }
  assert.equal(
    again("[1e5, 1E-5, 1.50, 12345678901234567.0]"),
    "[100000.0,1e-05,1.5,1.2345678901234568e+16]",
  );
});

Deno.test("integers of any size keep their digits", () => {
  assert.equal(again("[1000000000000000019884624838656]"), "[1000000000000000019884624838656]");
  assert.equal(formatPythonJson(2 ** 70), "1180591620717411303424");
});

Deno.test("the program sees plain numbers", () => {
  assert.deepEqual(parsePythonJson('{"a":1.0,"b":[2.0,3]}'), { a: 1, b: [2, 3] });
});

Deno.test("a number that was not read is a float by its field or its value", () => {
  const floatFields = new Set(["rope_theta"]);
  const text = formatPythonJson({ rope_theta: 10000, heads: 4, eps: 1e-6, none: undefined }, { floatFields });
  assert.equal(text, '{\n  "eps": 1e-06,\n  "heads": 4,\n  "rope_theta": 10000.0\n}');
  const read = parsePythonJson('{"rope_theta": 1000000}') as Record<string, number>;
  assert.equal(formatPythonJson(read, { floatFields, indent: 1 }), '{\n "rope_theta": 1000000\n}');
});

Deno.test("a number that was changed after reading keeps its field's kind", () => {
  const read = parsePythonJson('{"a": 0.0, "b": 7}') as Record<string, number>;
  read.a = 3;
  read.b = 8;
  assert.equal(formatPythonJson(read, { indent: 1 }), '{\n "a": 3.0,\n "b": 8\n}');
});

Deno.test("strings are in ASCII and keys in the order of code points", () => {
  const value = { "\u{1F600}": 1, "\uffee": 2, b: "é\u007f\u2028\n\\", "10": 3, "9": 4, B: 5 };
  const text = formatPythonJson(value, { indent: 1 });
  assert.equal(
    text,
    '{\n "10": 3,\n "9": 4,\n "B": 5,\n "b": "\\u00e9\\u007f\\u2028\\n\\\\",\n "\\uffee": 2,\n "\\ud83d\\ude00": 1\n}',
  );
  assert.deepEqual(parsePythonJson(text), value);
});

Deno.test("empty lists and objects stay on their line", () => {
  assert.equal(
    formatPythonJson({ a: [], b: {}, c: [[]] }, { indent: 1 }),
    '{\n "a": [],\n "b": {},\n "c": [\n  []\n ]\n}',
  );
});

Deno.test("a value that a schema rebuilt can take the spelling and the order of its source", () => {
  const source = parsePythonJson('{"b": {"x": 1.0}, "a": [2.0, 3]}') as { a: number[]; b: { x: number } };
  const rebuilt = { a: [...source.a], added: 1, b: { ...source.b } };
  const copy = spelledLike(rebuilt, source);
  assert.deepEqual(copy, rebuilt);
  assert.deepEqual(Object.keys(copy), ["b", "a", "added"]);
  assert.equal(
    formatPythonJson(copy, { indent: 0, sortKeys: false }).replaceAll("\n", ""),
    '{"b": {"x": 1.0},"a": [2.0,3],"added": 1}',
  );
});

Deno.test("a key named __proto__ is a key", () => {
  const text = '{"__proto__": {"a": 1.0}}';
  assert.equal(again(text), text);
  const read = parsePythonJson(text);
  assert.equal(formatPythonJson(spelledLike({}, read)), "{}");
  assert.deepEqual(Object.keys(spelledLike(JSON.parse(text), read) as object), ["__proto__"]);
});

Deno.test("deep nesting is refused and brackets in strings are none", () => {
  assert.throws(() => parsePythonJson("[".repeat(100_000)), SyntaxError);
  assert.deepEqual(parsePythonJson(JSON.stringify(["[".repeat(500), '"[\\'])), ["[".repeat(500), '"[\\']);
});

Deno.test("what JSON cannot hold is refused", () => {
  assert.throws(() => formatPythonJson({ a: NaN }), /expected a finite number at "a", received NaN/);
  assert.throws(() => formatPythonJson({ a: 1n }), TypeError);
});

Deno.test("any value comes back from its text, and the text from the value", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const plain = JSON.parse(JSON.stringify([value]));
    const text = formatPythonJson(plain, { sortKeys: false });
    assert.deepEqual(parsePythonJson(text), plain);
    assert.equal(formatPythonJson(parsePythonJson(text), { sortKeys: false }), text);
  }));
});
