import assert from "node:assert/strict";
import { normalizeConversation, normalizeRecord } from "./normalize.ts";

const turns = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];

Deno.test("ShareGPT, OpenAI, Alpaca and prompt records become conversations", () => {
  const records = [
    { conversations: [{ from: "human", value: "a" }, { from: "gpt", value: "b" }] },
    { conversations: turns },
    { messages: turns },
    { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }, turns[1]] },
    { instruction: "a", input: "", output: "b" },
    { prompt: "a", completion: "b" },
  ];
  for (const record of records) {
    assert.deepEqual(normalizeRecord(record), { messages: turns }, JSON.stringify(record));
  }
  assert.deepEqual(normalizeRecord({ instruction: "a", input: "c", output: "b", system: "s" }), {
    messages: [{ role: "system", content: "s" }, { role: "user", content: "a\n\nc" }, turns[1]],
  });
});

Deno.test("a text record is a document", () => {
  assert.deepEqual(normalizeRecord({ text: "once" }), { document: "once" });
});

Deno.test("records that hold no conversation are rejected with a reason", () => {
  const reasons: [unknown, string][] = [
    [7, "record is not an object"],
    [{ title: "x" }, "no known column"],
    [{ conversations: null }, "conversation is not a list"],
    [{ conversations: [] }, "conversation is empty"],
    [{ conversations: ["hi"] }, "turn is not an object"],
    [{ conversations: [{ from: "bing", value: "a" }] }, "no turn of a known role"],
    [{ conversations: [{ from: "human", value: 7 }] }, "content is not text"],
    [{ messages: [{ role: "user", content: [{ type: "image" }] }] }, "content has images"],
  ];
  for (const [record, reason] of reasons) {
    assert.deepEqual(normalizeRecord(record), { rejected: { reason } }, JSON.stringify(record));
  }
});

Deno.test("a from that is null hides the role only for upstream", () => {
  const mixed = [{ from: null, value: null, role: "user", content: "a" }];
  assert.deepEqual(normalizeConversation(mixed), { messages: [turns[0]] });
  assert.deepEqual(normalizeConversation(mixed, { strictUpstream: true }), {
    rejected: { reason: "no turn of a known role" },
  });
});

Deno.test("turn dropout ends with an assistant's turn", () => {
  const four = [...turns, ...turns];
  for (const [keep, length] of [[1, 2], [2, 2], [3, 4], [4, 4]] as const) {
    const made = normalizeConversation(four, { keepTurns: keep });
    assert.equal("messages" in made && made.messages.length, length, `keep ${keep}`);
  }
});

Deno.test("what was thought is read under both of its names, and given under both, but not for upstream", () => {
  for (const name of ["thinking", "reasoning_content"]) {
    const turn = { from: "gpt", value: "b", [name]: "c" };
    const thought = { role: "assistant", content: "b", thinking: "c", reasoning_content: "c" };
    assert.deepEqual(normalizeConversation([turn]), { messages: [thought] });
    const { reasoning_content: _, ...known } = thought;
    const kept = name === "thinking" ? known : { role: "assistant", content: "b" };
    assert.deepEqual(normalizeConversation([turn], { strictUpstream: true }), { messages: [kept] });
  }
  assert.deepEqual(normalizeConversation([{ from: "gpt", value: "b", thinking: "" }]), {
    messages: [{ role: "assistant", content: "b" }],
  });
});
