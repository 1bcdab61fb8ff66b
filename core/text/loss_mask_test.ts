import assert from "node:assert/strict";
import { goldenModel } from "../../tests/golden_models.ts";
import type { Message } from "./chat_template.ts";
import { chooseMaskRule, maskConversation } from "./loss_mask.ts";
import { TextModel } from "./model.ts";

const CHAT: Message[] = [
  { role: "user", content: "One?" },
  { role: "assistant", content: "First answer." },
  { role: "user", content: "Two?" },
  { role: "assistant", content: "Second\nanswer." },
];

/** What of a rendered chat is trained on, span by span. */
async function trained(template: string, options: { maxLength?: number; strictUpstream?: boolean } = {}) {
  const model = await goldenModel("tiny", template);
  const { strictUpstream = false } = options;
  const rule = chooseMaskRule(model, { strictUpstream });
  const masked = maskConversation(model, CHAT, { rule, ...options });
  const parts: string[] = [];
  for (let t = 0; t < masked.ids.length; t++) {
    if (masked.lossMask[t] !== 1) continue;
    const id = masked.ids.subarray(t, t + 1);
    if (t > 0 && masked.lossMask[t - 1] === 1) parts.push(parts.pop()! + model.decode(id));
    else parts.push(model.decode(id));
  }
  return { parts, rule, length: masked.ids.length };
}

const THINK_LAST = "{% for m in messages %}<|im_start|>{{ m.role }}\n" +
  "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}";
const HARMONY = "{% for m in messages %}<|start|>{{ m.role }}" +
  "{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}" +
  "{% if loop.last and m.role == 'assistant' %}<|return|>{% else %}<|end|>{% endif %}{% endfor %}";
const MISTRAL = "{{ '<s>' }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]" +
  "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}";
const OWN_FIRST =
  "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}<|im_start|>assistant\n" +
  "{{ m.content }}<|im_end|>\n{% endgeneration %}{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n" +
  "{% endif %}{% endfor %}";
const USER_FIRST = "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}" +
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";

const ANSWERS = ["First answer.", "Second\nanswer."];

Deno.test("a think block before the last answer alone does not hide the others", async () => {
  assert.deepEqual((await trained(THINK_LAST)).parts, ANSWERS);
  assert.deepEqual((await trained(THINK_LAST, { strictUpstream: true })).parts, ANSWERS.slice(1));
});

Deno.test("every answer is found in harmony's and Mistral's kind of template", async () => {
  assert.deepEqual((await trained(HARMONY)).parts, ANSWERS);
  const mistral = (await trained(MISTRAL)).parts;
  assert.deepEqual(mistral.map((part) => part.trim()), ANSWERS);
});

Deno.test("blocks that begin the template's output count as blocks", async () => {
  const own = await trained(OWN_FIRST);
  assert.equal(own.rule.kind, "own");
  assert.deepEqual(own.parts, ANSWERS.map((answer) => `<|im_start|>assistant\n${answer}<|im_end|>\n`));
  assert.equal((await trained(OWN_FIRST, { strictUpstream: true })).rule.kind, "pattern");
});

Deno.test("blocks are cut to the length, but not for upstream", async () => {
  assert.equal((await trained(OWN_FIRST, { maxLength: 9 })).length, 9);
  const template = "x" + OWN_FIRST;
  assert.ok((await trained(template, { maxLength: 9, strictUpstream: true })).length > 9);
});

Deno.test("a template that wants the user first is no obstacle, but for upstream", async () => {
  assert.deepEqual((await trained(USER_FIRST)).parts, ANSWERS);
  await assert.rejects(trained(USER_FIRST, { strictUpstream: true }), { code: "E_CONFIG" });
});

Deno.test("a pattern without a group is refused at once", async () => {
  const model = await goldenModel("tiny");
  assert.throws(() => chooseMaskRule(model, { assistantPattern: "assistant" }), {
    code: "E_CONFIG",
    message: /expected a group/,
  });
});

Deno.test("a model without a chat template says where one was looked for", () => {
  const tokenizer = {
    added_tokens: [],
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: { a: 0 }, merges: [] },
  };
  const model = new TextModel({ tokenizer }, "folder");
  assert.throws(() => chooseMaskRule(model), { code: "E_NOT_FOUND", message: /chat_template/ });
});
