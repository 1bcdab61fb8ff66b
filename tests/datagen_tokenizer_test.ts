/** Verifiers whose tokenizer or template is not quite theirs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readVocabularyMap } from "../core/data/vocabulary.ts";
import { openSampleStore } from "../core/data/store.ts";
import { cli, copyModel, DIALOGUES, filesIn, inFolder, VERIFIER } from "./cli.ts";

interface Tokenizer {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
  added_tokens: { id: number; content: string; special: boolean }[];
}

/** Changes a folder's tokenizer. */
async function retokenize(folder: string, change: (tokenizer: Tokenizer) => void): Promise<void> {
  const path = join(folder, "tokenizer.json"),
    tokenizer: Tokenizer = JSON.parse(await Deno.readTextFile(path));
  change(tokenizer);
  await Deno.writeTextFile(path, JSON.stringify(tokenizer));
}

/** Drops all words from an id on, but for special ones. */
function cutTo(size: number): (tokenizer: Tokenizer) => void {
  return ({ added_tokens, model }) => {
    const special = new Set(added_tokens.map(({ content }) => content));
    for (const [word, id] of Object.entries(model.vocab)) {
      if (id >= size && !special.has(word)) delete model.vocab[word];
    }
    model.merges = model.merges.filter((merge) => {
      const [a, b] = typeof merge === "string" ? merge.split(" ") as [string, string] : merge;
      return [a, b, a + b].every((word) => word in model.vocab);
    });
  };
}

const flags = (model: string, folder: string) => [
  ...["datagen", "--target-model-path", model, "--train-data-path", DIALOGUES, "--output-dir", folder],
  ...["--token-freq-path", `${folder}.token_freq.pt`, "--max-samples", "4", "--device", "wasm"],
];

Deno.test("a tokenizer with fewer words than the model has rows is taken, far fewer with a warning", async () => {
  await inFolder(async (at) => {
    const rows = JSON.parse(await Deno.readTextFile(join(VERIFIER, "config.json"))).vocab_size as number;
    for (
      const [name, size, warned] of [["few", Math.floor(rows * 0.6), true], [
        "most",
        rows - 20,
        false,
      ]] as const
    ) {
      const model = await copyModel(VERIFIER, at(name));
      await retokenize(model, cutTo(size));
      const made = await cli(flags(model, at(`${name}-data`)));
      assert.equal(made.code, 0, made.err);
      assert.equal(/warning: The tokenizer knows \d+ of the verifier's \d+ tokens/.test(made.err), warned);
      const store = await openSampleStore(at(`${name}-data`));
      for (const index of await store.list()) {
        assert.ok((await store.read(index)).inputIds.every((id) => id < size));
      }
      const mapped = await cli([
        ...["vocab-map", "--token-freq-path", at(`${name}-data.token_freq.pt`), "--draft-vocab-size", "64"],
        ...["--target-model-path", model, "--output-path", at(`${name}-map`)],
      ]);
      assert.equal(mapped.code, 0, mapped.err);
      const { t2d } = await readVocabularyMap(at(`${name}-map`, "d2t.npy"), at(`${name}-map`, "t2d.npy"));
      assert.equal(t2d.length, rows);
    }
  });
});

Deno.test("a tokenizer with more words than the model has rows is refused", async () => {
  await inFolder(async (at) => {
    const model = await copyModel(VERIFIER, at("model"));
    await retokenize(model, ({ added_tokens }) => {
      added_tokens.push({ ...added_tokens[0]!, id: 5000, content: "<|more|>", special: true });
    });
    const { code, err } = await cli(flags(model, at("data")));
    assert.equal(code, 1);
    assert.match(err, /expected a tokenizer of at most \d+ tokens, received 5001/);
    assert.deepEqual(await filesIn(at("data")), []);
  });
});

Deno.test("conversations that a template refuses are left out and listed; none at all ends the run", async () => {
  await inFolder(async (at) => {
    const model = await copyModel(VERIFIER, at("model")), path = join(model, "chat_template.jinja");
    const template = await Deno.readTextFile(path);
    const refuse = (when: string) =>
      Deno.writeTextFile(
        path,
        `{%- if ${when} %}{{ raise_exception("Not this one") }}{% endif -%}\n${template}`,
      );
    await refuse("messages[0].content | length > 40");
    const made = await cli([...flags(model, at("data")), "--max-samples", "40", "--json"]);
    assert.equal(made.code, 0, made.err);
    const { rejected, samples } = JSON.parse(made.out), count = rejected["cannot be rendered or encoded"];
    assert.deepEqual([count > 0, samples > 0, count + samples], [true, true, 40]);
    const listed = (await Deno.readTextFile(at("data", "rejected.jsonl"))).trimEnd().split("\n");
    assert.equal(listed.length, count);
    assert.match(JSON.parse(listed[0]!).detail, /Not this one/);
    await refuse("true");
    const none = await cli(flags(model, at("none")));
    assert.equal(none.code, 1);
    assert.match(none.err, /Not this one/);
  });
});
