/**
 * One record of a data set to a masked sequence of tokens.
 *
 * @module
 */
import { SpeculatorsError } from "../errors.ts";
import type { Message } from "../text/chat_template.ts";
import type { MaskedText, MaskRule } from "../text/loss_mask.ts";
import { maskConversation } from "../text/loss_mask.ts";
import type { TextModel } from "../text/model.ts";
import type { Rejection } from "./normalize.ts";
import { normalizeRecord } from "./normalize.ts";
import { pythonText } from "./python_text.ts";
import type { PythonRandom } from "./random.ts";

/** How records are made into token sequences. */
export interface PreprocessOptions {
  /** Tokenizer and template. */
  readonly model: TextModel;
  /** How the assistant's part is found; `chooseMaskRule` gives one. */
  readonly rule: MaskRule;
  /** Most tokens (`--seq-length`). */
  readonly maxLength?: number;
  /** Keep a random number of turns of each conversation, drawn from this generator. */
  readonly turnDropout?: PythonRandom;
  /**
   * Do as upstream does, its mistakes that change which tokens are trained included: sequences without any trained
   * token are kept, too.
   */
  readonly strictUpstream?: boolean;
}

/** A masked sequence, or why there is none. */
export type Preprocessed =
  | {
    readonly sequence: MaskedText;
    readonly messages: readonly Message[];
    /** Where its images are; each has one token as yet. */
    readonly images?: readonly string[];
  }
  | { readonly rejected: Rejection & { readonly detail?: string } };

/** Normalises, renders, encodes and masks a record; what cannot be used is rejected with a reason, never thrown. */
export function preprocessRecord(record: unknown, options: PreprocessOptions): Preprocessed {
  const { model, rule, strictUpstream = false } = options;
  const normalized = normalizeRecord(record, { strictUpstream, images: true, ...dropout(record, options) });
  if ("rejected" in normalized) return normalized;
  try {
    if ("document" in normalized) {
      return trained(wholeText(normalized.document, options), [], strictUpstream);
    }
    const { messages, images } = normalized;
    let shown = messages;
    if (strictUpstream) {
      const written = asTemplateSees(messages, model.template.source);
      if (written === null) return { rejected: { reason: "content is not text" } };
      shown = written;
    }
    const sequence = maskConversation(model, shown, {
      rule,
      strictUpstream,
      ...(options.maxLength === undefined ? {} : { maxLength: options.maxLength }),
    });
    const made = trained(sequence, messages, strictUpstream);
    return images === undefined || "rejected" in made ? made : { ...made, images };
  } catch (cause) {
    if (!(cause instanceof SpeculatorsError) || cause.code === "E_NOT_FOUND") throw cause;
    return { rejected: { reason: "cannot be rendered or encoded", detail: cause.message } };
  }
}

function dropout(record: unknown, options: PreprocessOptions): { keepTurns?: number } {
  const turns = (record as { conversations?: unknown; messages?: unknown } | null)?.conversations ??
    (record as { messages?: unknown } | null)?.messages;
  if (options.turnDropout === undefined || !Array.isArray(turns) || turns.length === 0) return {};
  return { keepTurns: options.turnDropout.integer(1, turns.length) };
}

/** A document is trained on as a whole. */
function wholeText(text: string, options: PreprocessOptions): MaskedText {
  const encoding = options.model.encode(text, { addSpecialTokens: true });
  const length = Math.min(encoding.ids.length, options.maxLength ?? encoding.ids.length);
  return {
    text,
    ids: encoding.ids.slice(0, length),
    lossMask: new Uint8Array(length).fill(1),
    offsets: encoding.offsets.slice(0, 2 * length),
    spans: [[0, text.length]],
  };
}

function trained(sequence: MaskedText, messages: readonly Message[], strict: boolean): Preprocessed {
  if (!strict && !sequence.lossMask.includes(1)) return { rejected: { reason: "no trained token" } };
  return { sequence, messages };
}

/**
 * Contents that are no text, as upstream's template engine takes them: a filter that works on text writes any value
 * as Python does, adding one to a text fails.
 */
function asTemplateSees(messages: readonly Message[], source: string): readonly Message[] | null {
  if (messages.every((message) => typeof message.content === "string")) return messages;
  if (!/content['"]?\s*\]?\s*\|\s*(?:trim|string)\b/.test(source)) {
    return /\bis\s+(?:not\s+)?string\b/.test(source) ? messages : null;
  }
  return messages.map((message) => ({ ...message, content: pythonText(message.content) }));
}
