/**
 * Which part of a rendered conversation the assistant wrote, found by looking at how the template renders a made-up
 * one.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { ChatTemplate } from "./chat_template.ts";
import { escapePython } from "./python_regex.ts";

const PROBES = ["USER_MSG_1", "ASSISTANT_MSG_1", "USER_MSG_2", "ASSISTANT_MSG_2"] as const;
const TAG = /(<\|?[a-zA-Z0-9_]+[|>]?)|(\[[a-zA-Z0-9_]+\])/;

/**
 * Finds a regular expression (Python's syntax) whose group 1 is what the assistant wrote.
 *
 * Upstream looks at the last turn of its probe alone: a template that puts something more before the last answer
 * (Qwen3: an empty think block) gives a pattern that misses all earlier answers. Here that part is optional, unless
 * `strictUpstream` asks for upstream's pattern.
 *
 * source: speculators v0.4.0.1, `data_generation/preprocessing.py`
 *
 * @throws {ConfigError} when the template refuses the probe or drops the assistant's turns
 */
export function detectAssistantPattern(
  template: ChatTemplate,
  options: { readonly strictUpstream?: boolean } = {},
): string {
  const text = template.render(
    PROBES.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content })),
  );
  const [user1, answer1, user2, answer2] = places(text);
  const marker = markerOf(text.slice(user2.end, answer2.start));
  const between = text.slice(answer1.end, user2.start);
  const after = text.slice(answer2.end);
  const suffix = commonStart(between, after) || between || "\n";
  const earlier = markerOf(text.slice(user1.end, answer1.start));
  let start = escapePython(marker);
  if (!options.strictUpstream && earlier !== marker) start = eitherOf(earlier, marker);
  const boundary = TAG.exec(marker)?.[0] ?? "<|start|";
  return `${start}((?:(?!${escapePython(boundary)}).)*?)${escapePython(suffix)}`;
}

/** Both ways a turn may begin; what the longer has more is optional. */
function eitherOf(earlier: string, last: string): string {
  const common = commonStart(earlier, last);
  const more = earlier.length > last.length ? earlier : last;
  if (common.length === Math.min(earlier.length, last.length)) {
    return `${escapePython(common)}(?:${escapePython(more.slice(common.length))})?`;
  }
  return `(?:${escapePython(last)}|${escapePython(earlier)})`;
}

interface Place {
  readonly start: number;
  readonly end: number;
}

function places(text: string): [Place, Place, Place, Place] {
  const found = PROBES.map((probe) => {
    const start = text.indexOf(probe);
    if (start < 0) {
      throw new ConfigError("chat_template", `expected "${probe}" in what it renders, received none`, {
        hint: "Give the pattern of the assistant's part with --assistant-pattern",
      });
    }
    return { start, end: start + probe.length };
  });
  return found as [Place, Place, Place, Place];
}

/** What stands before an answer, from the tag around the word `assistant` on. */
function markerOf(prefix: string): string {
  const word = prefix.lastIndexOf("assistant");
  if (word < 0) return prefix;
  const tag = Math.max(prefix.lastIndexOf("<", word), prefix.lastIndexOf("[", word));
  return prefix.slice(tag < 0 ? word : tag);
}

function commonStart(a: string, b: string): string {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return a.slice(0, n);
}
