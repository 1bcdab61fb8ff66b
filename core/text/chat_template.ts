/**
 * Chat templates: messages to the text that a model was trained on.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Template } from "./_jinja.ts";
import { parseTemplate } from "./_jinja.ts";

/** A turn of a conversation. Other fields (`thinking`, `tool_calls`, …) are for the template. */
export interface Message {
  /** `user`, `assistant`, `system`, `tool`, …. */
  readonly role: string;
  /** Text, or whatever the template takes. */
  readonly content: unknown;
  /** What the template may know besides. */
  readonly [field: string]: unknown;
}

/** How {@linkcode ChatTemplate.render} works. */
export interface RenderOptions {
  /** End with the beginning of an assistant's turn. */
  readonly addGenerationPrompt?: boolean;
  /** Variables of the template, such as `enable_thinking` or `tools`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A rendered text with the places of its `{% generation %}` blocks. */
export interface RenderedSpans {
  /** The text. */
  readonly text: string;
  /** `[start, end)` of each block, in UTF-16 units. */
  readonly spans: readonly (readonly [number, number])[];
}

const GENERATION = /\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}/g;

/** A chat template in Jinja, rendered as Hugging Face does (`trim_blocks`, `lstrip_blocks`). */
export class ChatTemplate {
  /** The template's text. */
  readonly source: string;
  /** Whether it marks the assistant's part with `{% generation %}` blocks. */
  readonly marksGeneration: boolean;
  readonly #where: string;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #plain: Template;
  #marked: { readonly template: Template; readonly marks: Marks } | undefined;

  /**
   * Compiles a template.
   *
   * @param source the template
   * @param options `variables`: special tokens (`bos_token`, …); `where`: the file, for messages
   * @throws {ConfigError} when the template has a syntax error
   */
  constructor(
    source: string,
    options: { readonly variables?: Readonly<Record<string, unknown>>; readonly where?: string } = {},
  ) {
    this.source = source;
    this.#where = options.where ?? "chat_template";
    this.#variables = options.variables ?? {};
    this.marksGeneration = source.search(GENERATION) >= 0;
    this.#plain = this.#parse(source);
  }

  /**
   * Renders a conversation.
   *
   * @throws {ConfigError} when the template refuses it
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    // The library drops more blanks around block tags than Jinja does; with the tags replaced it does not.
    if (this.marksGeneration) return this.renderSpans(messages, options).text;
    return this.#run(this.#plain, messages, options);
  }

  /**
   * Renders a conversation and finds its `{% generation %}` blocks.
   *
   * @throws {ConfigError} when the template refuses it
   */
  renderSpans(messages: readonly Message[], options: RenderOptions = {}): RenderedSpans {
    const content = JSON.stringify(messages) + this.source;
    if (this.#marked === undefined || this.#marked.marks.some((mark) => content.includes(mark))) {
      const marks = unusedMarks(content);
      this.#marked = { template: this.#parse(markBlocks(this.source, marks)), marks };
    }
    const { marks, template } = this.#marked;
    return takeMarks(this.#run(template, messages, options), marks);
  }

  #parse(source: string): Template {
    try {
      return parseTemplate(source);
    } catch (cause) {
      const problem = `expected a Jinja template, received an error: ${(cause as Error).message}`;
      throw new ConfigError(this.#where, problem, { cause });
    }
  }

  #run(template: Template, messages: readonly Message[], options: RenderOptions): string {
    try {
      return template.render({
        ...this.#variables,
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      });
    } catch (cause) {
      throw new ConfigError(this.#where, `expected it to render, received "${(cause as Error).message}"`, {
        cause,
        hint: "The template refuses this conversation; look at the order and the fields of its turns",
      });
    }
  }
}

/** Characters of the private use area that stand where a block begins and ends. */
type Marks = readonly [begin: string, end: string];

function unusedMarks(content: string): Marks {
  const marks: string[] = [];
  for (let code = 0xf8f0; marks.length < 2; code = code === 0xf8ff ? 0xf0000 : code + 1) {
    const mark = String.fromCodePoint(code);
    if (!content.includes(mark)) marks.push(mark);
  }
  return [marks[0]!, marks[1]!];
}

/**
 * Puts an output in place of each block tag. It stands inside another pair of tags, so that the blanks and the
 * newline around are dropped as they would be around the tag itself.
 */
function markBlocks(source: string, marks: Marks): string {
  return source.replace(
    GENERATION,
    (_, left: string, end: string | undefined, right: string) =>
      `{%${left} if true %}{{ '${end === undefined ? marks[0] : marks[1]}' }}{% endif ${right}%}`,
  );
}

function takeMarks(marked: string, marks: Marks): RenderedSpans {
  const spans: [number, number][] = [];
  const open: number[] = [];
  let text = "";
  let from = 0;
  for (let i = 0; i <= marked.length; i++) {
    const mark = i === marked.length ? -1 : marks.findIndex((m) => marked.startsWith(m, i));
    if (mark < 0 && i < marked.length) continue;
    text += marked.slice(from, i);
    if (mark < 0) break;
    if (mark === 0) open.push(text.length);
    else if (open.length > 0) spans.push([open.pop()!, text.length]);
    from = i + marks[mark]!.length;
    i = from - 1;
  }
  return { text, spans };
}
