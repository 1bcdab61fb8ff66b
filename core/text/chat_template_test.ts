import assert from "node:assert/strict";
import { ChatTemplate } from "./chat_template.ts";

const messages = [{ role: "user", content: "hi" }, { role: "assistant", content: "yo" }];

Deno.test("blanks around tags are dropped as in Hugging Face", () => {
  const template = new ChatTemplate(
    "{% for m in messages %}\n  {% if true %}\n{{ m.role }}: {{ m.content }}\n  {% endif %}\n{% endfor %}\n",
  );
  assert.equal(template.render(messages), "user: hi\nassistant: yo\n");
});

Deno.test("special tokens, the generation prompt and variables reach the template", () => {
  const template = new ChatTemplate(
    "{{ bos_token }}{{ messages[0].content }}{% if add_generation_prompt %}>{% endif %}{{ more }}",
    { variables: { bos_token: "<s>" } },
  );
  assert.equal(template.render(messages), "<s>hi");
  assert.equal(template.render(messages, { addGenerationPrompt: true, variables: { more: 1 } }), "<s>hi>1");
});

Deno.test("strip takes characters, as in Python", () => {
  const template = new ChatTemplate(
    "{{ 'xxaxx'.strip('x') }}|{{ '\\n a\\n'.lstrip('\\n') }}|{{ ' a \\n'.rstrip() }}|{{ ' b '.strip() }}",
  );
  assert.equal(template.render([]), "a| a\n| a|b");
});

Deno.test("generation blocks are found and change nothing of the text", () => {
  const block = "{% for m in messages %}{{ m.role }}\n  {% generation %}\n  {{- m.content }}!\n" +
    "  {%- endgeneration -%}\n  ;{% endfor %}";
  const template = new ChatTemplate(block);
  const { spans, text } = template.renderSpans(messages);
  assert.equal(text, template.render(messages));
  assert.deepEqual(spans.map(([a, b]) => text.slice(a, b)), ["hi!", "yo!"]);
});

Deno.test("texts that hold the marks of blocks are told from them", () => {
  const template = new ChatTemplate("a{% generation %}{{ messages[0].content }}{% endgeneration %}");
  const content = "\uf8f0x\uf8f1";
  const { spans, text } = template.renderSpans([{ role: "user", content }]);
  assert.equal(text, "a" + content);
  assert.deepEqual(spans, [[1, 1 + content.length]]);
});

Deno.test("a template that refuses and one with a syntax error say so", () => {
  const refusing = new ChatTemplate("{{ raise_exception('no tools') }}");
  assert.throws(() => refusing.render(messages), { code: "E_CONFIG", message: /no tools/ });
  assert.throws(() => new ChatTemplate("{% if %}"), { code: "E_CONFIG" });
});
