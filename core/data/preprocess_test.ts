import assert from "node:assert/strict";
import { chooseMaskRule, toCodePoints } from "../text/mod.ts";
import type { MaskedText, MaskRule, TextModel } from "../text/mod.ts";
import { normalizeConversation, normalizeRecord } from "./normalize.ts";
import { preprocessRecord } from "./preprocess.ts";
import { PythonRandom } from "./random.ts";
import { goldenLines, goldenModel, goldenTokenizers } from "../../tests/golden_models.ts";
import { golden, goldenJson } from "../../tests/golden.ts";

interface GoldenRow {
  name: string;
  max_length?: number;
  status: "row" | "skipped" | "raises";
  normalized: unknown;
  text: string;
  spans: [number, number][];
  input_ids: number[];
  loss_mask: number[];
  offsets: number[];
}

interface GoldenTemplate {
  template: string | null;
  chat_template?: string;
  source: "detected" | "given";
  uses_own_mask?: boolean;
  pattern?: string;
  error?: unknown;
  max_length: number;
  records: GoldenRow[];
}

function conversations(): Map<string, unknown> {
  const records = goldenLines<{ name: string; conversation: unknown }>(
    golden("preprocess", "inputs", "records.jsonl"),
  );
  return new Map(records.map(({ name, conversation }) => [name, conversation]));
}

function assertRow(row: GoldenRow, sequence: MaskedText, where: string, own = false): void {
  assert.equal(sequence.text, row.text, `${where}: text`);
  assert.deepEqual([...sequence.ids], row.input_ids, `${where}: ids`);
  assert.deepEqual([...sequence.lossMask], row.loss_mask, `${where}: mask`);
  if (row.offsets) {
    assert.deepEqual([...toCodePoints(row.text, sequence.offsets)], row.offsets, `${where}: offsets`);
  }
  // Upstream has no spans where the template marks them itself.
  if (row.spans && !own) {
    const spans = toCodePoints(row.text, Int32Array.from(sequence.spans.flat()));
    assert.deepEqual([...spans], row.spans.flat(), `${where}: spans`);
  }
}

for (const name of goldenTokenizers()) {
  Deno.test(`records become upstream's rows with the ${name} tokenizer`, async () => {
    const model = await goldenModel(name);
    const rule = chooseMaskRule(model, { strictUpstream: true });
    const inputs = conversations();
    const rows = goldenLines<GoldenRow>(golden("preprocess", "expected", `${name}.jsonl`));
    assert.ok(rows.length > 0);
    for (const row of rows) {
      const where = `${row.name} at ${row.max_length}`;
      const made = preprocessRecord({ conversations: inputs.get(row.name) }, {
        model,
        rule,
        strictUpstream: true,
        maxLength: row.max_length!,
      });
      // What ends upstream's whole run is a rejected record here.
      if (row.status !== "row") {
        assert.ok("rejected" in made, where);
        continue;
      }
      assert.ok("sequence" in made, `${where}: ${JSON.stringify(made)}`);
      assert.deepEqual(made.messages, row.normalized, `${where}: messages`);
      assertRow(row, made.sequence, where);
    }
  });
}

Deno.test("chat templates of all kinds give upstream's patterns and masks", async () => {
  const tiny = await goldenModel("tiny");
  const inputs = conversations();
  const templates = goldenLines<GoldenTemplate>(golden("preprocess", "expected", "templates.jsonl"));
  assert.ok(templates.length > 0);
  for (const [i, golden] of templates.entries()) {
    const where = `template ${golden.template ?? i}`;
    const model = golden.chat_template === undefined ? tiny : await goldenModel("tiny", golden.chat_template);
    const choose = () =>
      chooseMaskRule(model, {
        strictUpstream: true,
        ...(golden.source === "given" ? { assistantPattern: golden.pattern! } : {}),
      });
    if (golden.error !== undefined) {
      assert.throws(choose, { code: "E_CONFIG" }, where);
      continue;
    }
    const raises = golden.records.every((row) => row.status === "raises");
    if (raises) {
      assert.throws(choose, { code: "E_CONFIG" }, where);
      continue;
    }
    const rule = choose();
    assert.equal(rule.kind === "own", golden.uses_own_mask, `${where}: own mask`);
    if (rule.kind === "pattern") assert.equal(rule.pattern, golden.pattern, `${where}: pattern`);
    for (const row of golden.records) {
      assertTemplateRow(row, inputs.get(row.name), { golden, model, rule, where });
    }
  }
});

function assertTemplateRow(
  row: GoldenRow,
  conversation: unknown,
  given: { golden: GoldenTemplate; model: TextModel; rule: MaskRule; where: string },
): void {
  const where = `${given.where}, ${row.name} at ${given.golden.max_length}`;
  const made = preprocessRecord({ conversations: conversation }, {
    model: given.model,
    rule: given.rule,
    strictUpstream: true,
    maxLength: given.golden.max_length,
  });
  if (row.status !== "row") {
    assert.ok("rejected" in made, where);
    return;
  }
  assert.ok("sequence" in made, `${where}: ${JSON.stringify(made)}`);
  assertRow(row, made.sequence, where, given.rule.kind === "own");
}

Deno.test("turn dropout draws Python's numbers and stops where upstream does", () => {
  const inputs = conversations();
  const cases = goldenLines<
    { name: string; python_seed: number; turns: number; keep: number; normalized: unknown }
  >(
    golden("preprocess", "expected", "turn_dropout.jsonl"),
  );
  assert.ok(cases.length > 0);
  for (const { keep, name, normalized, python_seed, turns } of cases) {
    assert.equal(new PythonRandom(python_seed).integer(1, turns), keep, name);
    const made = normalizeConversation(inputs.get(name), { keepTurns: keep, strictUpstream: true });
    assert.deepEqual("messages" in made ? made.messages : null, normalized, `${name}, ${keep} turns`);
  }
});

Deno.test("records with messages are read as upstream's ultrachat normaliser reads them", () => {
  const expected = goldenJson<{ conversations: { role: string; content: string }[] }[]>(
    "preprocess",
    "expected",
    "ultrachat.json",
  );
  const [record] = goldenLines<{ messages: unknown }>(golden("preprocess", "inputs", "messages.jsonl"));
  assert.deepEqual(normalizeRecord(record), { messages: expected[0]!.conversations });
});

Deno.test("what cannot be trained on is rejected with a reason", async () => {
  const model = await goldenModel("tiny");
  const rule = chooseMaskRule(model);
  const user = { role: "user", content: "a" };
  const answer = { role: "assistant", content: "the answer" };
  const cases: [record: unknown, reason: string][] = [
    [{ messages: [user] }, "no trained token"],
    [{ messages: [user, { role: "assistant", content: "" }] }, "no trained token"],
    [{ messages: [user, { role: "assistant", content: "\ud800" }] }, "cannot be rendered or encoded"],
    [{ messages: [user, { role: "assistant", content: 3 }] }, "content is not text"],
    [{}, "no known column"],
  ];
  for (const [record, reason] of cases) {
    const made = preprocessRecord(record, { model, rule });
    assert.equal("rejected" in made && made.rejected.reason, reason, JSON.stringify(record));
  }
  const cut = preprocessRecord({ messages: [user, answer] }, { model, rule, maxLength: 4 });
  assert.equal("rejected" in cut && cut.rejected.reason, "no trained token");
  const kept = preprocessRecord({ conversations: [user, answer] }, {
    model,
    rule,
    strictUpstream: true,
    maxLength: 4,
  });
  assert.ok("sequence" in kept);
});

Deno.test("a document is trained on as a whole, and cut", async () => {
  const model = await goldenModel("tiny");
  const made = preprocessRecord({ text: "Once upon a time there was a king." }, {
    model,
    rule: chooseMaskRule(model),
    maxLength: 5,
  });
  assert.ok("sequence" in made);
  assert.deepEqual([...made.sequence.lossMask], [1, 1, 1, 1, 1]);
});

Deno.test("Qwen3's template writes what was thought, and it is trained on with the answer", async () => {
  const name = goldenTokenizers().find((one) => one.startsWith("qwen3"))!, model = await goldenModel(name);
  for (const field of ["thinking", "reasoning_content"]) {
    const conversations = [
      { from: "human", value: "A" },
      { from: "gpt", value: "one" },
      { from: "human", value: "B" },
      { from: "gpt", value: "two", [field]: "hmm" },
    ];
    const made = preprocessRecord({ conversations }, { model, rule: chooseMaskRule(model) });
    assert.ok("sequence" in made);
    const { spans, text } = made.sequence;
    assert.deepEqual(spans.map(([from, to]) => text.slice(from, to)), [
      "one",
      "<think>\nhmm\n</think>\n\ntwo",
    ]);
  }
});
