/** The loss mask of templates in the style of gpt-oss (harmony) and of Mistral, with all that they put around an answer. */
import assert from "node:assert/strict";
import { goldenModel } from "../../tests/golden_models.ts";
import type { Message } from "./chat_template.ts";
import { chooseMaskRule, maskConversation } from "./loss_mask.ts";

const CHAT: Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "What does an assistant do?" },
  { role: "assistant", content: "It answers.\n\nThat is all.", thinking: "The user asks about me." },
  { role: "user", content: "And [then] <what>?" },
  { role: "assistant", content: "Nothing.", thinking: "Same again." },
];

/** Fixed system part, the system turn for developers, reasoning in a channel of its own before the last answer. */
const HARMONY =
  `{{- "<|start|>system<|message|>You are a large language model.\\n\\nReasoning: medium\\n\\n" -}}
{{- "# Valid channels: analysis, commentary, final.<|end|>" -}}
{%- for message in messages -%}
  {%- if message.role == "system" -%}
    {{- "<|start|>developer<|message|># Instructions\\n\\n" + message.content + "<|end|>" -}}
  {%- elif message.role == "assistant" -%}
    {%- if message.thinking is defined and loop.last -%}
      {{- "<|start|>assistant<|channel|>analysis<|message|>" + message.thinking + "<|end|>" -}}
    {%- endif -%}
    {{- "<|start|>assistant<|channel|>final<|message|>" + message.content -}}
    {{- "<|return|>" if loop.last and not add_generation_prompt else "<|end|>" -}}
  {%- else -%}
    {{- "<|start|>user<|message|>" + message.content + "<|end|>" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|start|>assistant" -}}{%- endif -%}`;

/** The first user turn holds the system text; turns must take turns. */
const MISTRAL = `{%- if messages[0].role == "system" -%}
  {%- set system = messages[0].content -%}{%- set turns = messages[1:] -%}
{%- else -%}{%- set system = "" -%}{%- set turns = messages -%}{%- endif -%}
{{- "<s>" -}}
{%- for message in turns -%}
  {%- if (message.role == "user") != (loop.index0 % 2 == 0) -%}
    {{- raise_exception("Conversation roles must alternate user/assistant") -}}
  {%- endif -%}
  {%- if message.role == "user" -%}
    {{- "[INST] " + (system + "\\n\\n" if loop.first and system else "") + message.content + " [/INST]" -}}
  {%- else -%}{{- " " + message.content + "</s>" -}}{%- endif -%}
{%- endfor -%}`;

/** The newer one: no blanks around the tags, the system text in tags of its own. */
const MISTRAL_V7 = `{{- "<s>" -}}
{%- for message in messages -%}
  {%- if message.role == "system" -%}{{- "[SYSTEM_PROMPT]" + message.content + "[/SYSTEM_PROMPT]" -}}
  {%- elif message.role == "user" -%}{{- "[INST]" + message.content + "[/INST]" -}}
  {%- else -%}{{- message.content + "</s>" -}}{%- endif -%}
{%- endfor -%}`;

/** What is trained on, part by part. */
async function trained(template: string, messages: readonly Message[] = CHAT): Promise<string[]> {
  const model = await goldenModel("tiny", template);
  const { lossMask, offsets, text } = maskConversation(model, messages, { rule: chooseMaskRule(model) });
  const parts: string[] = [];
  let open = false;
  for (let t = 0; t < lossMask.length; t++) {
    if (lossMask[t] === 1) {
      const piece = text.slice(offsets[2 * t], offsets[2 * t + 1]);
      if (open) parts[parts.length - 1] += piece;
      else parts.push(piece);
    }
    open = lossMask[t] === 1;
  }
  return parts;
}

const ANSWERS = ["It answers.\n\nThat is all.", "Nothing."];

Deno.test("harmony: the answers are trained on; channels, tags and what others say are not", async () => {
  assert.deepEqual(await trained(HARMONY, CHAT.map(({ thinking: _, ...message }) => message)), ANSWERS);
});

Deno.test("harmony: reasoning before an answer does not hide the answer", async () => {
  assert.deepEqual(await trained(HARMONY), ANSWERS);
});

Deno.test("Mistral: the answers are trained on, with and without a system turn", async () => {
  for (const template of [MISTRAL, MISTRAL_V7]) {
    for (const messages of [CHAT, CHAT.slice(1)]) {
      assert.deepEqual((await trained(template, messages)).map((part) => part.trim()), ANSWERS);
    }
  }
});

Deno.test("Mistral: an answer that speaks of the tags is trained on as far as its own end", async () => {
  const turns = [CHAT[1]!, { role: "assistant", content: "The word <INST> is a tag." }, CHAT[3]!, CHAT[4]!];
  assert.deepEqual((await trained(MISTRAL_V7, turns)).map((part) => part.trim()), [
    "The word <INST> is a tag.",
    "Nothing.",
  ]);
});
