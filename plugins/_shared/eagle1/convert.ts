/**
 * Published Eagle v1 and HASS checkpoints to the speculators format, and back.
 *
 * source: speculators v0.4.0.1, `convert/eagle/eagle_converter.py`
 *
 * @module
 */
import { newSpeculatorsConfig } from "../../../core/config/create.ts";
import type { ConvertNote, ConvertPlan, ConvertRequest, DraftConverter } from "../../../core/conversion.ts";
import {
  dropout,
  flagOption,
  kept,
  layerFields,
  requireFit,
  ropeFields,
  ropeScaling,
  tokenIds,
  verifierOf,
} from "../convert_config.ts";
import {
  chooseDType,
  dtypeName,
  leftOver,
  pickTensors,
  renameAll,
  type WantedTensor,
} from "../convert_tensors.ts";
import { decoderTensors } from "../decoder_weights.ts";
import { ConfigFields } from "../verifier_config.ts";
import { toEagleResearch } from "./convert_back.ts";

/** From the research code's layout: `fc`, `layers.0.*`, a Llama config. */
const fromEagleResearch: DraftConverter = {
  name: "eagle-research",
  direction: "in",
  summary: "Eagle, Eagle-2 and HASS as their authors publish them",
  options: { layernorms: "boolean", fusion_bias: "boolean" },
  // Eagle-3 has the same two, and a norm or a mapping beside them.
  matches: (names) =>
    names.includes("fc.weight") && names.some((name) => name.startsWith("layers.0.")) &&
    !names.some((name) => /\.hidden_norm\.|^d2t$/.test(name)),
  plan,
};

/** Both directions. */
export function eagleConverters(): readonly DraftConverter[] {
  return [fromEagleResearch, toEagleResearch];
}

/** New names of the norms that HASS has. */
const NORMS: Readonly<Record<string, string>> = {
  "hidden_layernorm.weight": "transformer.input_layernorm.weight",
  "embed_layernorm.weight": "embedding_layernorm.weight",
  "lm_head_layernorm.weight": "pre_lm_head_layernorm.weight",
};

function plan(request: ConvertRequest): ConvertPlan {
  const { source, strictUpstream: strict } = request, { config, tensors } = source;
  const verifier = verifierOf(request), has = (name: string) => tensors.has(name);
  const other = has("post_embedding_layernorm.weight");
  const layernorms = flagOption(request, "layernorms") === true || has("embed_layernorm.weight") || other;
  const fusionBias = flagOption(request, "fusion_bias") === true || has("fc.bias");
  const found = renamed(request, layernorms);
  const fields = new ConfigFields(config, source.where),
    vocab = fields.count("vocab_size", { fallback: 32000 });
  const base = layerFields(source, { kvHeads: null, headDim: !strict }), hidden = base.hidden_size;
  const wanted = wantedTensors({ ...base, layernorms, fusionBias });
  for (const name of strict ? [] : ["embed_tokens.weight", "lm_head.weight"]) {
    // The verifier's as a rule; kept, so that the way back gives the same file.
    const spec = tensors.get(found.get(name) ?? "");
    if (spec?.shape.join() === `${vocab},${hidden}`) {
      wanted.push({ name, shape: [vocab, hidden], absent: "leave" });
    }
  }
  const dtype = strict ? "f32" : chooseDType(request, wanted.map(({ name }) => found.get(name) ?? ""));
  const picked = pickTensors(request, wanted, { what: "an Eagle or HASS draft", found, dtype });
  for (const name of request.fill) {
    const content = { kind: "verifier", role: name === "lm_head" ? "head" : "embed" } as const;
    if (picked.tensors.some((tensor) => tensor.name === `${name}.weight`)) continue;
    picked.tensors.push({ name: `${name}.weight`, shape: [vocab, hidden], dtype, content });
  }
  const left = leftOver(request, picked.tensors);
  if (!strict) requireFit(request, { hidden, vocab });
  const rope = strict
    ? { rope_theta: base.rope_theta, rope_scaling: ropeScaling(source) }
    : ropeFields(source);
  const notes: ConvertNote[] = strict ? [] : [
    ...(dtype === "f32" ? [] : [kept(`the type of the weights, ${dtypeName(dtype)}`)]),
    ...(other && !has("embed_layernorm.weight") ? [kept("post_embedding_layernorm")] : []),
    ...(base.head_dim * base.num_attention_heads === hidden ? [] : [kept("head_dim")]),
    ...(wanted.some(({ name }) => name === "embed_tokens.weight") ? [kept("embed_tokens")] : []),
  ];
  return {
    config: newSpeculatorsConfig({
      algorithm: "eagle",
      architectures: ["EagleSpeculator"],
      verifier,
      dtype: dtypeName(dtype),
    }, {
      fusion_bias: fusionBias,
      layernorms,
      transformer_layer_architecture: "LlamaDecoderLayer",
      transformer_layer_config: {
        ...base,
        ...rope,
        attention_dropout: dropout(source),
        model_type: "llama",
        num_hidden_layers: 1,
        pretraining_tp: 1,
        use_cache: config["use_cache"] ?? true,
        vocab_size: vocab,
        ...tokenIds(config),
      },
    }),
    tensors: picked.tensors,
    unexpected: left.unexpected,
    notes: [...notes, ...picked.notes, ...left.notes],
  };
}

/** Source name of each new name. */
function renamed(request: ConvertRequest, layernorms: boolean): Map<string, string> {
  const { tensors } = request.source, strict = request.strictUpstream;
  const found = renameAll(tensors.keys(), (name) => {
    if (strict && name.startsWith("embed_tokens.")) return null;
    if (name.startsWith("fc.")) return `fusion_${name}`;
    if (name.startsWith("layers.0.")) return `transformer.${name.slice("layers.0.".length)}`;
    if (layernorms && Object.hasOwn(NORMS, name)) return NORMS[name]!;
    return name;
  });
  if (strict || !layernorms) return found;
  // Two names for the same norm: HASS's own goes before the layer's, whatever their order in the file.
  if (tensors.has("hidden_layernorm.weight")) {
    found.set("transformer.input_layernorm.weight", "hidden_layernorm.weight");
  }
  if (!found.has("embedding_layernorm.weight") && tensors.has("post_embedding_layernorm.weight")) {
    found.set("embedding_layernorm.weight", "post_embedding_layernorm.weight");
  }
  return found;
}

function wantedTensors(
  draft: ReturnType<typeof layerFields> & { readonly layernorms: boolean; readonly fusionBias: boolean },
): WantedTensor[] {
  const { hidden_size: hidden, layernorms } = draft, wanted: WantedTensor[] = [];
  const put = (name: string, shape: readonly number[]) =>
    wanted.push({
      name,
      shape,
      absent: name.endsWith(".bias") ? "zeros" : /norm\.weight$/.test(name) ? "ones" : "refuse",
    });
  put("fusion_fc.weight", [hidden, 2 * hidden]);
  if (draft.fusionBias) put("fusion_fc.bias", [hidden]);
  if (layernorms) put("embedding_layernorm.weight", [hidden]);
  const layer = decoderTensors("transformer", {
    hidden,
    intermediate: draft.intermediate_size,
    heads: draft.num_attention_heads,
    kvHeads: draft.num_key_value_heads,
    headDim: draft.head_dim,
    qkvBias: draft.attention_bias,
    outputBias: draft.attention_bias,
    mlpBias: draft.mlp_bias,
    inputNorm: layernorms,
  });
  for (const { name, shape } of layer) put(name, shape);
  if (layernorms) put("pre_lm_head_layernorm.weight", [hidden]);
  return wanted;
}
