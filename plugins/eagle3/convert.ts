/**
 * Published Eagle-3 checkpoints to the speculators format.
 *
 * source: speculators v0.4.0.1, `convert/eagle/eagle3_converter.py`
 *
 * @module
 */
import type {
  ConvertNote,
  ConvertPlan,
  ConvertRequest,
  DraftConverter,
  PlannedTensor,
  WeightDType,
} from "../../core/conversion.ts";
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { ConfigError } from "../../core/errors.ts";
import {
  dropout,
  flagOption,
  kept,
  type LayerFields,
  layerFields,
  requireFit,
  ropeFields,
  textConfig,
  tokenIds,
  verifierOf,
} from "../_shared/convert_config.ts";
import {
  chooseDType,
  dtypeName,
  dtypeNamed,
  leftOver,
  pickTensors,
  renameAll,
  type WantedTensor,
} from "../_shared/convert_tensors.ts";
import { decoderTensors } from "../_shared/decoder_weights.ts";
import { ConfigFields } from "../_shared/verifier_config.ts";
import { servedNorms } from "./configure.ts";
import { keptIds, mappingOf } from "./convert_mapping.ts";
import { verifierVocabulary } from "./convert_vocabulary.ts";

/** From the research code's layout: `midlayer.*`, a Llama config with `draft_vocab_size`. */
export const fromResearch: DraftConverter = {
  name: "eagle3-research",
  direction: "in",
  summary: "Eagle-3 as its authors and others publish it",
  options: { norm_before_residual: "boolean", eagle_aux_hidden_state_layer_ids: "layers" },
  matches: (names) =>
    names.includes("fc.weight") && names.some((name) => /^midlayer\.|\.hidden_norm\.|^d2t$/.test(name)),
  plan,
};

function plan(request: ConvertRequest): ConvertPlan {
  const { source, strictUpstream: strict } = request, { config, tensors } = source;
  const found = renameAll(tensors.keys(), (name) => name.replace(/^midlayer\./, "layers.0."));
  const spec = (name: string) => tensors.get(found.get(name) ?? "");
  const verifier = verifierOf(request), fields = new ConfigFields(config, source.where);
  const mapping = mappingOf(request, { d2t: found.get("d2t"), t2d: found.get("t2d") });
  const draftVocab = fields.count("draft_vocab_size", {
    fallback: (strict ? undefined : spec("lm_head.weight")?.shape[0]) ?? 32000,
  });
  const vocab = mapping.vocab ?? verifierVocabulary(request, spec("embed_tokens.weight")?.shape[0]);
  const base = layerFields(source, { kvHeads: 8, headDim: true }), hidden = base.hidden_size;
  const layerIds = layerIdsOf(request);
  const targetHidden = targetWidth(request, { hidden, states: layerIds?.length ?? 3, fc: spec("fc.weight") });
  const layers = fields.count("num_hidden_layers", { fallback: 1, most: 256 });
  const headNorms = !strict && [...found.keys()].some((name) => /\.self_attn\.[qk]_norm\.weight$/.test(name));
  const norms = strict ? {} : normsOf(fields, found), states = layerIds?.length ?? 3;
  const written = strict ? 1 : layers;
  const wanted = wantedTensors(request, {
    ...base,
    layers: written,
    headNorms,
    vocab,
    draftVocab,
    fc: (strict ? 3 : states) * (targetHidden ?? hidden),
    norms,
    states,
    embed: found.has("embed_tokens.weight"),
    head: found.has("lm_head.weight"),
  });
  const named = config["torch_dtype"];
  const dtype = strict
    ? strictDType(request)
    : chooseDType(request, wanted.map(({ name }) => found.get(name) ?? ""));
  const picked = pickTensors(request, wanted, { what: "an Eagle-3 draft", found, dtype });
  const mapped = mapping.tensors(draftVocab, vocab);
  const filled = fillTensors(request, {
    found,
    hidden,
    vocab,
    draftVocab,
    dtype,
    target: targetHidden ?? hidden,
  });
  const all = [...picked.tensors, ...filled, ...mapped];
  const left = leftOver(request, all, { used: mapping.used });
  if (!strict) requireFit(request, { hidden: targetHidden ?? hidden, vocab });
  const rope = strict ? { rope_theta: base.rope_theta, rope_scaling: null } : ropeFields(source);
  const maxVerifier = verifierPositions(request);
  const ours: ConvertNote[] = strict ? [] : [
    ...(rope.rope_scaling === null ? [] : [kept("rope_scaling, the draft's stretched rotary frequencies")]),
    ...(layers > 1 ? [kept(`all ${layers} decoder layers`)] : []),
    ...Object.keys(norms).map((name) => kept(name)),
    ...(headNorms ? [kept("q_norm and k_norm of a Qwen3 draft")] : []),
    ...(strictDType(request) === dtype ? [] : [kept(`the type of the weights, ${dtypeName(dtype)}`)]),
  ];
  return {
    config: newSpeculatorsConfig({
      algorithm: "eagle3",
      architectures: ["Eagle3Speculator"],
      verifier,
      dtype: dtypeName(dtype),
    }, {
      draft_vocab_size: draftVocab,
      eagle_aux_hidden_state_layer_ids: layerIds === null ? null : [...layerIds],
      embed_requires_grad: false,
      norm_before_residual: flagOption(request, "norm_before_residual") ??
        (strict ? false : fields.flag("norm_before_residual")),
      target_hidden_size: targetHidden,
      ...norms,
      transformer_layer_config: {
        ...base,
        attention_dropout: strict ? 0 : dropout(source),
        ...(strict && (named === undefined || named === null) ? {} : { dtype: dtypeName(dtype) }),
        max_position_embeddings: Math.max(base.max_position_embeddings, maxVerifier),
        model_type: headNorms ? "qwen3" : "llama",
        num_hidden_layers: layers,
        ...(headNorms ? {} : { pretraining_tp: 1 }),
        ...rope,
        use_cache: true,
        vocab_size: vocab,
        ...servedNorms(norms),
        ...(strict ? {} : tokenIds(config)),
      },
    }),
    tensors: all,
    unexpected: left.unexpected,
    notes: [...ours, ...mapping.notes, ...picked.notes, ...left.notes],
    check: (inputs) => mapping.check(inputs, { draftVocab, vocab }),
  };
}

/** The norms around `fc` and of the output that a checkpoint says it has, or has weights of. */
function normsOf(fields: ConfigFields, found: ReadonlyMap<string, string>): Record<string, boolean> {
  const all: Record<string, boolean> = {
    norm_before_fc: fields.flag("norm_before_fc") || found.has("input_norm.weight"),
    fc_norm: fields.flag("fc_norm") || found.has("fc_norm.0.weight"),
    norm_output: fields.flag("norm_output"),
  };
  return Object.fromEntries(Object.entries(all).filter(([, set]) => set));
}

/** What the Python system writes floats in. */
function strictDType(request: ConvertRequest): WeightDType {
  const { config, where } = request.source, named = config["torch_dtype"] ?? "float32";
  const dtype = dtypeNamed(named);
  if (dtype !== null) return dtype;
  if (!request.strictUpstream) return "f32";
  throw new ConfigFields(config, where).refuse("torch_dtype", "float32, float16 or bfloat16");
}

/** The verifier's states that the draft reads: as asked for, else as the checkpoint says. */
function layerIdsOf(request: ConvertRequest): readonly number[] | null {
  const given = request.options["eagle_aux_hidden_state_layer_ids"] as readonly number[] | null | undefined;
  if (given !== undefined) return given;
  if (request.strictUpstream) return null;
  const { config, where } = request.source, field = "eagle_aux_hidden_state_layer_ids";
  const inner = config["eagle_config"] as Record<string, unknown> | null | undefined;
  const value = config[field] ?? inner?.[field] ?? null;
  if (value === null) return null;
  const ids = Array.isArray(value) && value.length > 0 && value.length <= 256 &&
    value.every((id) => Number.isInteger(id) && id >= 0);
  if (!ids) throw new ConfigFields(config, where).refuse(field, "a list of layer ids");
  return value as number[];
}

/** Width of the verifier's states where it is not the draft's: by the config, else by what `fc` takes. */
function targetWidth(
  request: ConvertRequest,
  sizes: {
    readonly hidden: number;
    readonly states: number;
    readonly fc: { shape: readonly number[] } | undefined;
  },
): number | null {
  const { config, where } = request.source;
  if ((config["target_hidden_size"] ?? null) !== null) {
    return new ConfigFields(config, where).count("target_hidden_size");
  }
  const columns = sizes.fc?.shape[1] ?? 0, wide = textConfig(request.verifier?.config ?? {})["hidden_size"];
  if (request.strictUpstream || typeof wide !== "number" || wide === sizes.hidden) return null;
  return columns === wide * sizes.states ? wide : null;
}

function verifierPositions(request: ConvertRequest): number {
  const { config, nameOrPath } = verifierOf(request),
    part = request.strictUpstream ? config : textConfig(config);
  return new ConfigFields(part, nameOrPath).count("max_position_embeddings", {
    fallback: 4096,
    most: 2 ** 30,
  });
}

interface WantedSizes extends LayerFields {
  readonly layers: number;
  readonly headNorms: boolean;
  readonly vocab: number;
  readonly draftVocab: number;
  readonly fc: number;
  readonly norms: Readonly<Record<string, boolean>>;
  readonly states: number;
  readonly embed: boolean;
  readonly head: boolean;
}

function wantedTensors(request: ConvertRequest, sizes: WantedSizes): WantedTensor[] {
  const hidden = sizes.hidden_size, wanted: WantedTensor[] = [];
  const put = (name: string, shape: readonly number[]) =>
    wanted.push({
      name,
      shape,
      absent: name.endsWith(".bias") ? "zeros" : /norm\.weight$/.test(name) ? "ones" : "refuse",
    });
  put("fc.weight", [hidden, sizes.fc]);
  if (sizes.norms["norm_before_fc"]) {
    wanted.push({ name: "input_norm.weight", shape: [sizes.fc], absent: "refuse" });
  }
  for (let i = 0; sizes.norms["fc_norm"] && i < sizes.states; i++) {
    wanted.push({ name: `fc_norm.${i}.weight`, shape: [sizes.fc / sizes.states], absent: "refuse" });
  }
  put("layers.0.hidden_norm.weight", [hidden]);
  for (let i = 0; i < sizes.layers; i++) {
    const layer = decoderTensors(`layers.${i}`, {
      hidden,
      input: i === 0 ? 2 * hidden : hidden,
      intermediate: sizes.intermediate_size,
      heads: sizes.num_attention_heads,
      kvHeads: sizes.num_key_value_heads,
      headDim: sizes.head_dim,
      qkvBias: sizes.attention_bias,
      outputBias: sizes.attention_bias,
      mlpBias: sizes.mlp_bias,
      headNorms: sizes.headNorms,
    });
    for (const { name, shape } of layer) put(name, shape);
  }
  put("norm.weight", [hidden]);
  if (sizes.head || !request.fill.includes("lm_head")) put("lm_head.weight", [sizes.draftVocab, hidden]);
  if (sizes.embed) put("embed_tokens.weight", [sizes.vocab, hidden]);
  return wanted;
}

/** Embedding and head of the verifier, where they are asked for and the checkpoint has none. */
function fillTensors(
  request: ConvertRequest,
  draft: {
    readonly found: ReadonlyMap<string, string>;
    readonly hidden: number;
    readonly target: number;
    readonly vocab: number;
    readonly draftVocab: number;
    readonly dtype: WeightDType;
  },
): PlannedTensor[] {
  const { found, hidden, target, vocab, draftVocab, dtype } = draft, tensors: PlannedTensor[] = [];
  const lacks = (name: "embed_tokens" | "lm_head") =>
    request.fill.includes(name) && !found.has(`${name}.weight`);
  if ((lacks("embed_tokens") || lacks("lm_head")) && target !== hidden) {
    throw new ConfigError(
      "fill-from-verifier",
      `expected a draft as wide as the verifier, received ${hidden} and ${target}`,
      { hint: "Such a draft has an embedding and a head of its own: take a checkpoint that holds them" },
    );
  }
  if (lacks("embed_tokens")) {
    const content = { kind: "verifier", role: "embed" } as const;
    tensors.push({ name: "embed_tokens.weight", shape: [vocab, hidden], dtype, content });
  }
  if (lacks("lm_head")) {
    const rows = draftVocab === vocab ? {} : { rows: keptIds(request, { found, draftVocab, vocab }) };
    const content = { kind: "verifier", role: "head", ...rows } as const;
    tensors.push({ name: "lm_head.weight", shape: [draftVocab, hidden], dtype, content });
  }
  return tensors;
}
