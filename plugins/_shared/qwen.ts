/** What the Qwen families have in common. */
import type { LayerKind } from "./decoder_family.ts";
import type { ConfigFields } from "./verifier_config.ts";

/** Entries of a head of Qwen3 where the config does not say. */
export const QWEN3_HEAD_DIM = 128;

/** `max_window_layers` where the config does not say. */
const MAX_WINDOW_LAYERS = 28;

/** Keys that a row sees at most in each layer: without `use_sliding_window`, all of them everywhere. */
export function qwenWindows(fields: ConfigFields, layers: number): readonly (number | null)[] {
  if (!fields.flag("use_sliding_window")) return Array.from({ length: layers }, () => null);
  return fields.windows(layers, (layer) => layer >= fields.whole("max_window_layers", MAX_WINDOW_LAYERS));
}

/** Biases and norms of Qwen3's attention. */
export function qwen3Attention(fields: ConfigFields): LayerKind["parts"] {
  const bias = fields.flag("attention_bias");
  return { qkvBias: bias, outputBias: bias, headNorms: true };
}
