/**
 * Text: tokenizer, chat template, loss mask.
 *
 * @module
 */
export { ChatTemplate } from "./chat_template.ts";
export type { Message, RenderedSpans, RenderOptions } from "./chat_template.ts";
export { toCodePoints } from "./align.ts";
export { chooseMaskRule, maskConversation } from "./loss_mask.ts";
export type { MaskedText, MaskOptions, MaskRule, MaskRuleOptions } from "./loss_mask.ts";
export { loadTextModel, TextModel } from "./model.ts";
export type { TextModelFiles } from "./model.ts";
export { TextStream } from "./stream.ts";
export { TextTokenizer } from "./tokenizer.ts";
export type { DecodeOptions, EncodeOptions, Encoding } from "./tokenizer.ts";
