import assert from "node:assert/strict";
import { normalizeAligned } from "./normalize.ts";

function places(text: string, form: "NFC" | "NFD"): [string, string][] {
  const { codes, ends, starts } = normalizeAligned(text, 0, text.length, form);
  return codes.map((code, i) => [String.fromCodePoint(code), text.slice(starts[i], ends[i])]);
}

Deno.test("a composed character has the place of its first part", () => {
  assert.deepEqual(places("e\u0301x", "NFC"), [["é", "e"], ["x", "x"]]);
  assert.deepEqual(places("e\u0301\u0331x", "NFC").map(([, from]) => from), ["e", "\u0331", "x"]);
});

Deno.test("jamo compose to a syllable", () => {
  assert.deepEqual(places("\u1112\u1161\u11ab!", "NFC"), [["한", "\u1112"], ["!", "!"]]);
});

Deno.test("a decomposed character's parts all have its place", () => {
  assert.deepEqual(places("aéb", "NFD"), [["a", "a"], ["e", "é"], ["\u0301", "é"], ["b", "b"]]);
});

Deno.test("the aligned text is the normalised text", () => {
  for (
    const text of ["a\u0323\u0307b", "\u0bc6\u0bbe", "\u0958x", "q\u0307\u0323", "Å\u212b", "한글 e\u0301"]
  ) {
    for (const form of ["NFC", "NFD"] as const) {
      const { codes } = normalizeAligned(text, 0, text.length, form);
      assert.equal(String.fromCodePoint(...codes), text.normalize(form), `${JSON.stringify(text)} ${form}`);
    }
  }
});
