import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { DecodeRound } from "../decode/options.ts";
import { loadTextModel, type TextModel } from "../text/mod.ts";
import { AnswerText, type Piece } from "./answer_text.ts";

const FOLDER = fileURLToPath(new URL("../../examples/assets/tiny-verifier", import.meta.url));

/** Byte tokens: every character of more than one byte is split. */
function bytesOf(text: TextModel, words: string): number[] {
  return [...new TextEncoder().encode(words)].map((byte) => {
    for (let id = 0; id < text.vocabSize; id++) {
      const own = text.tokenizer.bytesOf(id);
      if (own.length === 1 && own[0] === byte) return id;
    }
    throw new Error(`There is no token for byte ${byte}`);
  });
}

function round(tokens: readonly number[], accepted = 0, proposed = accepted): DecodeRound {
  return { position: 0, proposed: new Array(proposed).fill(0), positions: proposed, accepted, tokens };
}

/** Takes tokens in rounds of `size`; gives what was shown after each, and all pieces. */
function write(
  answer: AnswerText,
  tokens: readonly number[],
  size: number,
): { shown: string[]; pieces: Piece[] } {
  const shown: string[] = [], pieces: Piece[] = [];
  const take = (delta: readonly Piece[]) => {
    pieces.push(...delta);
    shown.push(delta.map(({ text }) => text).join(""));
  };
  for (let i = 0; i < tokens.length && !answer.finish; i += size) {
    const own = tokens.slice(i, i + size);
    take(answer.take(round(own, own.length - 1)).pieces);
  }
  take(answer.end().pieces);
  return { shown, pieces };
}

Deno.test("characters come when all their bytes are there, and stop strings end the text wherever it is cut", async () => {
  const text = await loadTextModel(FOLDER), words = "Käse 🧀 costs €3, né?";
  const tokens = bytesOf(text, words);
  for (let size = 1; size <= 9; size++) {
    const all = new AnswerText(text, { stop: [], eosTokenIds: [] });
    const { shown } = write(all, tokens, size);
    assert.equal(shown.join(""), words);
    assert.ok(shown.every((piece) => piece.isWellFormed() && !piece.includes("\uFFFD")));
    assert.equal(all.finish, "length");
    for (const stop of ["🧀", "€3", "ä", " costs", "é?", "3, n"]) {
      const cut = new AnswerText(text, { stop: ["nowhere", stop], eosTokenIds: [] });
      assert.equal(
        write(cut, tokens, size).shown.join(""),
        words.slice(0, words.indexOf(stop)),
        `${stop} by ${size}`,
      );
      assert.deepEqual([cut.finish, cut.stopReason], ["stop", stop]);
    }
  }
});

Deno.test("text is held back only as long as it may begin a stop string", async () => {
  const text = await loadTextModel(FOLDER), ids = (words: string) => bytesOf(text, words);
  const answer = new AnswerText(text, { stop: ["aab", "b!"], eosTokenIds: [] }), shown: string[] = [];
  for (const id of ids("xaaab")) shown.push(answer.take(round([id])).pieces.map(({ text }) => text).join(""));
  assert.deepEqual(shown, ["x", "", "", "a", ""]);
  assert.equal(answer.stopReason, "aab");
  assert.deepEqual(answer.end().pieces, []);
  const open = new AnswerText(text, { stop: ["aab"], eosTokenIds: [] });
  open.take(round(ids("xaa")));
  assert.deepEqual(open.end().pieces, [{ text: "aa", accepted: false }]);
  // Of several the one that comes first ends it, not the one that was named first.
  const first = new AnswerText(text, { stop: ["cd", "bc"], eosTokenIds: [] });
  assert.deepEqual(first.take(round(ids("abcd"))).pieces, [{ text: "a", accepted: false }]);
});

Deno.test("tokens are counted up to the one that ends the text, and pieces tell which were accepted", async () => {
  const text = await loadTextModel(FOLDER),
    ids = (words: string) => bytesOf(text, words),
    [eos] = text.eosIds;
  const answer = new AnswerText(text, { stop: ["d"], eosTokenIds: [eos!] });
  answer.take(round(ids("ab")));
  assert.deepEqual(answer.take(round(ids("xcdef"), 4, 6)).pieces, [{ text: "xc", accepted: true }]);
  assert.deepEqual(answer.counts, { tokens: 5, accepted: 3, rejected: 2 });
  const ended = new AnswerText(text, { stop: [], eosTokenIds: [eos!] });
  const { pieces } = ended.take(round([...ids("ab"), eos!], 1, 3));
  assert.deepEqual(pieces, [{ text: "a", accepted: true }, { text: "b", accepted: false }]);
  assert.deepEqual([ended.finish, ended.stopReason, ended.counts.tokens], ["stop", eos, 3]);
  // Half a character at the end is shown as what it is.
  const half = new AnswerText(text, { stop: [], eosTokenIds: [] });
  half.take(round(ids("€").slice(0, 2)));
  assert.equal(half.end().pieces.map(({ text }) => text).join(""), "\uFFFD");
});
