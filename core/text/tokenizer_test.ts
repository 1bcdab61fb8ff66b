import assert from "node:assert/strict";
import { goldenModel } from "../../tests/golden_models.ts";
import { toCodePoints } from "./align.ts";
import { TextStream } from "./stream.ts";
import { TextTokenizer } from "./tokenizer.ts";

const TEXTS = [
  "",
  "Hello, world!",
  "naïve — 東京 😀 e\u0301 \u{1F469}\u200D\u{1F680}",
  "<|im_start|>user\nhi<|im_end|>\n",
  "\uFEFFmark\r\n\t  end ",
  "Ġ is no blank",
];

Deno.test("a text comes back from its tokens", async () => {
  const { tokenizer } = await goldenModel("tiny");
  for (const text of TEXTS) assert.equal(tokenizer.decode(tokenizer.encode(text).ids), text);
});

Deno.test("special tokens can be left out", async () => {
  const { tokenizer } = await goldenModel("tiny");
  const { ids } = tokenizer.encode("<|im_start|>user\nhi<|im_end|>\n");
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "user\nhi\n");
  assert.ok(tokenizer.isSpecial(ids[0]!));
});

Deno.test("places of tokens cover the text, characters never torn", async () => {
  const { tokenizer } = await goldenModel("tiny");
  for (const text of TEXTS) {
    const { ids, offsets } = tokenizer.encode(text);
    let end = 0;
    for (let t = 0; t < ids.length; t++) {
      assert.ok(offsets[2 * t]! <= end, `gap before token ${t} of "${text}"`);
      end = offsets[2 * t + 1]!;
    }
    assert.equal(end, text.length);
    const points = toCodePoints(text, offsets);
    assert.equal(points.at(-1) ?? 0, [...text].length);
  }
});

Deno.test("text streams out as whole characters, and joins to the decoded text", async () => {
  const { tokenizer } = await goldenModel("tiny");
  for (const text of TEXTS) {
    const stream = new TextStream(tokenizer);
    let joined = "";
    for (const id of tokenizer.encode(text).ids) {
      const piece = stream.push([id]);
      assert.ok(!piece.includes("\uFFFD") && piece.isWellFormed());
      joined += piece;
    }
    assert.equal(joined + stream.end(), text);
  }
});

Deno.test("bytes that end in the middle of a character become U+FFFD", async () => {
  const { tokenizer } = await goldenModel("tiny");
  const { ids } = tokenizer.encode("😀");
  assert.ok(ids.length > 1);
  const stream = new TextStream(tokenizer);
  assert.equal(stream.push(ids.subarray(0, 1)), "");
  assert.equal(stream.end(), "\uFFFD");
});

Deno.test("half a surrogate pair is refused", async () => {
  const { tokenizer } = await goldenModel("tiny");
  assert.throws(() => tokenizer.encode("a\ud800b"), { code: "E_CONFIG" });
});

Deno.test("a file that is no tokenizer is refused", () => {
  for (const file of [null, {}, { model: {} }, { model: { vocab: { a: -1 } } }, { model: { vocab: [] } }]) {
    assert.throws(() => new TextTokenizer(file, {}, "t.json"), { code: "E_FORMAT" }, JSON.stringify(file));
  }
});

/** A tokenizer of SentencePiece's kind, with bytes for what it does not know. */
function sentencePiece(): TextTokenizer {
  const pieces = ["<unk>", "<s>", "▁", "h", "i", "▁h", "▁hi", "t", "o", "▁t", "▁to", "!"];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const vocab = Object.fromEntries([...pieces, ...bytes].map((piece, id) => [piece, id]));
  return new TextTokenizer(
    {
      added_tokens: [
        { id: 1, content: "<s>", lstrip: false, rstrip: false, normalized: false, special: true },
      ],
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
      model: {
        type: "BPE",
        vocab,
        merges: [["▁", "h"], ["▁h", "i"], ["▁", "t"], ["▁t", "o"]],
        byte_fallback: true,
        unk_token: "<unk>",
        fuse_unk: true,
      },
    },
    {},
    "tokenizer.json",
  );
}

Deno.test("tokens of SentencePiece's kind are placed, with the blank in front that is not in the text", () => {
  const tokenizer = sentencePiece();
  const { ids, offsets } = tokenizer.encode("hi to é!");
  assert.deepEqual([...ids].slice(0, 2), [6, 10]);
  assert.deepEqual([...offsets], [0, 2, 2, 5, 5, 6, 6, 7, 6, 7, 7, 8]);
  assert.equal(tokenizer.decode(ids), "hi to é!");
});

Deno.test("tokens of SentencePiece's kind stream out as they decode together", () => {
  const tokenizer = sentencePiece();
  const stream = new TextStream(tokenizer);
  const pieces = [...tokenizer.encode("hi to é!").ids].map((id) => stream.push([id]));
  assert.equal(pieces.join("") + stream.end(), "hi to é!");
  assert.ok(!pieces.join("").includes("\uFFFD"));
});

Deno.test("a normaliser that is not known leaves ids, but no places", () => {
  const tokenizer = new TextTokenizer(
    {
      added_tokens: [],
      normalizer: { type: "Lowercase" },
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] },
    },
    {},
    "tokenizer.json",
  );
  const encoding = tokenizer.encode("AB");
  assert.deepEqual([...encoding.ids], [0, 1]);
  assert.throws(() => encoding.offsets, { code: "E_FORMAT" });
});
