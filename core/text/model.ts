/**
 * The text side of a model folder: tokenizer, chat template, tokens that end a text.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, FormatError, NotFoundError } from "../errors.ts";
import { readJson, readText } from "../files.ts";
import type { Message, RenderOptions } from "./chat_template.ts";
import { ChatTemplate } from "./chat_template.ts";
import { TextStream } from "./stream.ts";
import type { DecodeOptions, EncodeOptions, Encoding } from "./tokenizer.ts";
import { TextTokenizer } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

const SPECIAL = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** What a model folder says of text. Any part but the first may be missing. */
export interface TextModelFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: unknown;
  /** `tokenizer_config.json`. */
  readonly tokenizerConfig?: Readonly<Record<string, unknown>> | undefined;
  /** `special_tokens_map.json`. */
  readonly specialTokens?: Readonly<Record<string, unknown>> | undefined;
  /** `chat_template.jinja`, or `chat_template` of `chat_template.json`; the tokenizer's config may hold one too. */
  readonly chatTemplate?: string | undefined;
  /** `generation_config.json`. */
  readonly generationConfig?: Readonly<Record<string, unknown>> | undefined;
  /** `config.json`. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

/** The text side of a model. */
export class TextModel {
  /** The tokenizer. */
  readonly tokenizer: TextTokenizer;
  /** Tokens that end a text: those of the generation config (else of the config), and the tokenizer's own. */
  readonly eosIds: readonly number[];
  /** Where it was loaded from. */
  readonly path: string;
  readonly #template: ChatTemplate | null;

  /**
   * Puts the parts together.
   *
   * @param files contents of the model's files
   * @param path their folder, for messages
   * @throws {FormatError} when one is not what it should be
   */
  constructor(files: TextModelFiles, path: string) {
    const config = files.tokenizerConfig ?? {};
    this.path = path;
    this.tokenizer = new TextTokenizer(files.tokenizer, config, join(path, "tokenizer.json"));
    const variables = specialTokens(config, files.specialTokens ?? {});
    const source = files.chatTemplate ?? templateOf(config.chat_template);
    this.#template = source === undefined
      ? null
      : new ChatTemplate(source, { variables, where: join(path, "chat template") });
    const eos = variables.eos_token;
    this.eosIds = eosIds(files, typeof eos === "string" ? this.tokenizer.idOf(eos) : undefined);
  }

  /** One more than the tokenizer's largest id; a model may have more rows. */
  get vocabSize(): number {
    return this.tokenizer.vocabSize;
  }

  /**
   * The chat template.
   *
   * @throws {NotFoundError} when the model has none
   */
  get template(): ChatTemplate {
    if (this.#template === null) {
      throw new NotFoundError(
        join(this.path, "chat_template.jinja"),
        'expected a chat template there or as "chat_template" in tokenizer_config.json, received none',
        { hint: "A base model has no template; take the one that was made for chats" },
      );
    }
    return this.#template;
  }

  /** Encodes a text; no special tokens are put around it unless asked for. */
  encode(text: string, options?: EncodeOptions): Encoding {
    return this.tokenizer.encode(text, options);
  }

  /** Text of tokens. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string {
    return this.tokenizer.decode(ids, options);
  }

  /** Text of tokens as they come. */
  stream(options?: DecodeOptions): TextStream {
    return new TextStream(this.tokenizer, options);
  }

  /**
   * Renders a conversation with the chat template.
   *
   * @throws {ConfigError} when the template refuses it
   * @throws {NotFoundError} when the model has no template
   */
  render(messages: readonly Message[], options?: RenderOptions): string {
    return this.template.render(messages, options);
  }
}

/**
 * Loads the text side of a model folder.
 *
 * @throws {NotFoundError} when there is no `tokenizer.json`
 * @throws {FormatError} when a file is not what it should be
 */
export async function loadTextModel(folder: string): Promise<TextModel> {
  const [tokenizerConfig, specialTokens, generationConfig, config, template] = await Promise.all([
    optionalObject(join(folder, "tokenizer_config.json")),
    optionalObject(join(folder, "special_tokens_map.json")),
    optionalObject(join(folder, "generation_config.json")),
    optionalObject(join(folder, "config.json")),
    chatTemplateFile(folder),
  ]);
  const tokenizer = await readJson(join(folder, "tokenizer.json"));
  const files = {
    tokenizer,
    tokenizerConfig,
    specialTokens,
    generationConfig,
    config,
    chatTemplate: template,
  };
  return new TextModel(files, folder);
}

async function chatTemplateFile(folder: string): Promise<string | undefined> {
  const jinja = await optional(readText(join(folder, "chat_template.jinja")));
  if (jinja !== undefined) return jinja;
  return templateOf((await optionalObject(join(folder, "chat_template.json")))?.chat_template);
}

/** A template, or the one named `default` of several. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => isObject(entry) && entry.name === "default") as Json | undefined;
  return typeof named?.template === "string" ? named.template : undefined;
}

/** Special tokens by name, as a template sees them; the older separate file fills what the config lacks. */
function specialTokens(config: Json, map: Json): Record<string, unknown> {
  const tokens: Record<string, unknown> = {};
  for (const name of SPECIAL) {
    const token = contentOf(config[name]) ?? contentOf(map[name]);
    if (token !== undefined) tokens[name] = token;
  }
  const more = config.additional_special_tokens ?? map.additional_special_tokens;
  if (Array.isArray(more)) {
    tokens.additional_special_tokens = more.map(contentOf).filter((token) => token !== undefined);
  }
  return tokens;
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  return isObject(token) && typeof token.content === "string" ? token.content : undefined;
}

function eosIds(files: TextModelFiles, own: number | undefined): number[] {
  const text = isObject(files.config?.text_config) ? files.config.text_config : undefined;
  const listed = files.generationConfig?.eos_token_id ?? files.config?.eos_token_id ?? text?.eos_token_id;
  const ids = (Array.isArray(listed) ? listed : [listed]).filter((id) => id !== undefined && id !== null);
  for (const id of ids) {
    if (!Number.isInteger(id) || id < 0) {
      throw new ConfigError("eos_token_id", `expected a token id or a list of them, received ${id}`);
    }
  }
  return [...new Set(own === undefined ? ids : [...ids, own])] as number[];
}

async function optionalObject(path: string): Promise<Json | undefined> {
  const value = await optional(readJson(path));
  if (value !== undefined && !isObject(value)) {
    throw new FormatError(path, "expected a JSON object, received another value");
  }
  return value;
}

async function optional<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (cause) {
    if (cause instanceof NotFoundError) return undefined;
    throw cause;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
