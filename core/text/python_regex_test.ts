import assert from "node:assert/strict";
import { escapePython, groupCount, pythonRegex } from "./python_regex.ts";

function first(pattern: string, text: string): string | null {
  const match = pythonRegex(pattern, "test").exec(text);
  return match === null ? null : match[1] ?? match[0];
}

Deno.test("Python's expressions match as in Python", () => {
  const cases: [pattern: string, text: string, found: string | null][] = [
    ["<\\|a\\|>\\n(.*?)<\\|b\\|>", "<|a|>\nx\ny<|b|>", "x\ny"],
    ["\\b(\\w+)\\b", "— été 1", "été"],
    ["(\\d+)", "a٣٤", "٣٤"],
    ["\\\n\\ \\#\\-\\&\\~", "\n #-&~", "\n #-&~"],
    ["(?P<x>a+)(?P=x)", "aaaa", "aa"],
    ["(a)\\1", "aa", "a"],
    ["[^\\W\\d_]+", "1_äb2", "äb"],
    ["[]a-c-]+", "x]b-", "]b-"],
    ["[\\]\\[&&|]+", "a[&|]", "[&|]"],
    ["x{,2}y", "xxxy", "xxy"],
    ["a{b}", "a{b}", "a{b}"],
    ["(?i)ABC", "xabc", "abc"],
    ["(?i:a)B", "AB", "AB"],
    ["\\Aa", "ba", null],
    ["a$", "a\n", "a"],
    ["a\\Z", "a\n", null],
    ["(?m)^b$", "a\nb\nc", "b"],
    ["\\u00e9\\x41\\t", "éA\t", "éA\t"],
    ["a(?#comment)b", "ab", "ab"],
    ["(?<=x)y", "xy", "y"],
    ["}", "}", "}"],
    ["/", "/", "/"],
  ];
  for (const [pattern, text, found] of cases) assert.equal(first(pattern, text), found, pattern);
});

Deno.test("what JavaScript lacks, and what is no expression, is refused", () => {
  for (const pattern of ["(", "a++", "a{2}+", "(?>a)", "(?(1)a)", "(?x)a b", "[a", "\\q", "a\\", "\\x4"]) {
    assert.throws(() => pythonRegex(pattern, "test"), { code: "E_CONFIG" }, pattern);
  }
});

Deno.test("groups are counted", () => {
  assert.equal(groupCount(pythonRegex("a(?:b)", "test")), 0);
  assert.equal(groupCount(pythonRegex("(a)(?P<n>b)", "test")), 2);
});

Deno.test("escaped text matches itself", () => {
  const text = "<|a b|>\n[x](y)*#-&~.^$\\é";
  assert.equal(pythonRegex(escapePython(text), "test").exec(`..${text}..`)?.[0], text);
});
