/**
 * DFlash checkpoints as their authors publish them, to the speculators format and back.
 *
 * source: speculators v0.7.0.1, `convert/dflash/converter.py`
 *
 * @module
 */
import type { ConvertPlan, ConvertRequest, DraftConverter, PlannedTensor } from "../../core/conversion.ts";
import { newSpeculatorsConfig } from "../../core/config/create.ts";
import { ConfigError } from "../../core/errors.ts";
import { planBack } from "../_shared/convert_back.ts";
import { layerFields, requireFit, ropeFields, tokenIds, verifierOf } from "../_shared/convert_config.ts";
import { chooseDType, dtypeName, leftOver, pickTensors } from "../_shared/convert_tensors.ts";
import { ConfigFields } from "../_shared/verifier_config.ts";
import { type DFlashConfig, MAX_BLOCK } from "./config.ts";
import { draftedTensors } from "./initialise.ts";

/** From the authors' layout: a flat Qwen3 config with `dflash_config`; embedding and head are the verifier's. */
export const fromAuthors: DraftConverter = {
  name: "dflash",
  direction: "in",
  summary: "DFlash as its authors publish it, without embedding and head",
  options: { aux_hidden_state_layer_ids: "layers" },
  matches: (names) =>
    names.includes("fc.weight") && names.includes("hidden_norm.weight") &&
    !names.some((name) => name.startsWith("embed_tokens.") || name.startsWith("midlayer.")),
  plan,
};

/** Back to it. */
export const toAuthors: DraftConverter = {
  name: "dflash",
  direction: "out",
  summary: "DFlash as its authors' code loads it, without embedding and head",
  options: {},
  plan: planOut,
};

/** Sizes that a config of the authors' leaves to its base model. */
function plan(request: ConvertRequest): ConvertPlan {
  const { source } = request, { config, tensors, where } = source, fields = new ConfigFields(config, where);
  const verifier = verifierOf(request), own = fields.record("dflash_config") ?? {};
  const inner = new ConfigFields(own, `${where}: dflash_config`);
  const base = layerFields(source, { kvHeads: null, headDim: true });
  const layers = fields.count("num_hidden_layers", { fallback: 1, most: 256 });
  const vocab = fields.count("vocab_size", { most: 2 ** 24 });
  const block = config["block_size"] !== undefined && config["block_size"] !== null
    ? fields.count("block_size", { most: MAX_BLOCK })
    : inner.count("block_size", { most: MAX_BLOCK });
  const mask = own["mask_token_id"];
  if (typeof mask !== "number" || !Number.isInteger(mask) || mask < 0 || mask >= vocab) {
    throw inner.refuse("mask_token_id", `a token below ${vocab}`);
  }
  const types = config["layer_types"] ?? null;
  const made = newSpeculatorsConfig({
    algorithm: "dflash",
    architectures: ["DFlashDraftModel"],
    verifier,
    speculativeTokens: block - 1,
    dtype: dtypeName(chooseDType(request, tensors.keys())),
  }, {
    aux_hidden_state_layer_ids: [...layerIdsOf(request, own)],
    block_size: block,
    draft_vocab_size: vocab,
    mask_token_id: mask,
    sample_from_anchor: false,
    sliding_window_non_causal: false,
    target_hidden_size: null,
    transformer_layer_config: {
      ...base,
      attention_dropout: 0,
      ...(Array.isArray(types) ? { layer_types: types } : {}),
      model_type: "qwen3",
      num_hidden_layers: layers,
      ...ropeFields(source),
      sliding_window: config["sliding_window"] ?? null,
      use_cache: true,
      use_sliding_window: config["use_sliding_window"] ?? false,
      vocab_size: vocab,
      ...tokenIds(config),
    },
  }) as DFlashConfig;
  const hidden = base.hidden_size, dtype = chooseDType(request, tensors.keys());
  requireFit(request, { hidden, vocab });
  const wanted = draftedTensors(made).map(({ name, shape }) => ({ name, shape, absent: "refuse" as const }));
  const found = new Map([...tensors.keys()].map((name) => [name, name]));
  const picked = pickTensors(request, wanted, { what: "a DFlash draft", found, dtype });
  const lent: PlannedTensor[] = (["embed", "head"] as const).map((role) => ({
    name: role === "embed" ? "embed_tokens.weight" : "lm_head.weight",
    shape: [vocab, hidden],
    dtype,
    content: { kind: "verifier", role },
  }));
  const all = [...picked.tensors, ...lent], left = leftOver(request, all);
  return {
    config: made,
    tensors: all,
    unexpected: left.unexpected,
    notes: [...picked.notes, ...left.notes],
  };
}

/** The authors count the layer that a state leaves, the speculators format the one it enters. */
function layerIdsOf(request: ConvertRequest, own: Readonly<Record<string, unknown>>): readonly number[] {
  const given = request.options["aux_hidden_state_layer_ids"] as readonly number[] | null | undefined;
  if (given) return given;
  const ids = own["target_layer_ids"];
  const fits = Array.isArray(ids) && ids.length > 0 && ids.length <= 64 &&
    ids.every((id) => Number.isInteger(id) && id >= -1);
  if (fits) return ids.map((id) => id + 1);
  throw new ConfigError(
    `${request.source.where}/config.json: dflash_config.target_layer_ids`,
    `expected a list of layer ids, received ${JSON.stringify(ids)}`,
    { hint: "Name the layers with --layer-ids" },
  );
}

const LENT = /^(embed_tokens|lm_head)\.weight$/;

function planOut(request: ConvertRequest): ConvertPlan {
  const { config } = request.source, mapped = request.source.tensors.has("d2t");
  if (mapped) {
    throw new ConfigError(
      request.source.where,
      "expected a draft of the verifier's vocabulary, received d2t",
      {
        hint:
          "The authors' layout takes its head from the verifier: train a draft without a draft vocabulary",
      },
    );
  }
  const ids = config["aux_hidden_state_layer_ids"] as readonly number[];
  const back = planBack(request, {
    rename: (name) => name,
    fields: {
      architectures: ["DFlashDraftModel"],
      block_size: config["block_size"] ?? 8,
      dflash_config: {
        mask_token_id: config["mask_token_id"],
        target_layer_ids: ids.map((id) => id - 1),
      },
    },
  });
  return { ...back, tensors: back.tensors.filter(({ name }) => !LENT.test(name)) };
}
