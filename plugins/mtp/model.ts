/**
 * The MTP draft model (FastMTP, arXiv 2509.18362): state and embedding of the next token, each normed, are projected to
 * one row of a decoder layer, whose normed output gives the token after and is the state of the next step.
 */
import { PluginError } from "../../core/errors.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { argmax, concat, gather, linear, rmsnorm, topK } from "../../kernels/ops/mod.ts";
import type { ChainDraft, ChainPass } from "../_shared/chain_draft.ts";
import { decoderLayer, type DecoderWeights } from "../_shared/decoder.ts";
import { decoderWeights, wideVectors } from "../_shared/decoder_weights.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { type MtpConfig, mtpLayer, mtpSizes } from "./config.ts";
import { PREFIX } from "./initialise.ts";

/** The draft's weights by what they do. V the vocabulary, H the width. */
export interface MtpWeights {
  /** `[V, H]`. */
  readonly embed: Tensor;
  /** `[V, H]`. */
  readonly head: Tensor;
  /** f32 `[H]`: the verifier's final norm, where its states come without. */
  readonly verifierNorm: Tensor | null;
  /** f32 `[H]`: norm of the state. */
  readonly hiddenNorm: Tensor;
  /** f32 `[H]`: norm of the embedding. */
  readonly tokenNorm: Tensor;
  /** `[H, 2·H]`: takes embedding and state. */
  readonly input: Tensor;
  /** The decoder layer. */
  readonly layer: DecoderWeights;
  /** f32 `[H]`: norm of the layer's output. */
  readonly finalNorm: Tensor;
  /** Added to the mean square in norms. */
  readonly eps: number;
}

/**
 * The weights of a draft out of its tensors. Norms that are stored in 16 bits are widened by `run`; the widened ones are
 * the caller's (or the open scope's).
 *
 * @throws {PluginError} when a tensor is missing
 */
export function mtpWeights(
  run: Run,
  config: MtpConfig,
  tensors: ReadonlyMap<string, Tensor>,
): MtpWeights {
  const wide = wideVectors(run, tensors);
  const need = (name: string): Tensor => {
    const tensor = wide.get(name);
    if (!tensor) throw new PluginError("mtp", `expected a tensor "${name}", received ${wide.size} others`);
    return tensor;
  };
  return {
    embed: need("embed_tokens.weight"),
    head: need("lm_head.weight"),
    verifierNorm: config.norm_hidden_states ? need("verifier_norm.weight") : null,
    hiddenNorm: need(`${PREFIX}.hidden_layernorm.weight`),
    tokenNorm: need(`${PREFIX}.token_layernorm.weight`),
    input: need(`${PREFIX}.input_proj.weight`),
    layer: decoderWeights(wide, PREFIX),
    finalNorm: need(`${PREFIX}.final_layernorm.weight`),
    eps: mtpSizes(config).eps,
  };
}

/** One pass: f32 `[T, H]`, which the head takes, and the next pass as its state. */
function step(run: Run, w: MtpWeights, pass: ChainPass): Tensor {
  const embedded = rmsnorm(run, gather(run, w.embed, pass.ids), w.tokenNorm, w.eps);
  const state = rmsnorm(run, pass.hidden, w.hiddenNorm, w.eps);
  const x = linear(run, concat(run, [embedded, state], 1), w.input), { inPlace = false } = pass;
  const out = decoderLayer(run, x, { weights: w.layer, context: pass.context(0), inPlace });
  return rmsnorm(run, out, w.finalNorm, w.eps);
}

/** The draft as its training and its proposer take it. */
export function mtpChain(config: MtpConfig, w: MtpWeights): ChainDraft {
  const sizes = mtpSizes(config);
  return {
    plugin: "mtp",
    sizes: { ...sizes, layers: 1, states: 1, target: sizes.hidden },
    rope: layerRope(mtpLayer(config)),
    enter: (run, states) => w.verifierNorm ? rmsnorm(run, states, w.verifierNorm, w.eps) : states,
    pass: (run, pass) => step(run, w, pass),
    likeliest: (run, hidden) => argmax(run, linear(run, hidden, w.head)),
    ranked(run, hidden, count) {
      const { logprobs, places } = topK(run, linear(run, hidden, w.head), count);
      return { logprobs, tokens: places };
    },
    vocabulary: w.head.shape[0]!,
  };
}
