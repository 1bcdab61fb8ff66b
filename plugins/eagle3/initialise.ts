/** The tensors of an Eagle-3 draft, and their first values. */
import { ConfigError } from "../../core/errors.ts";
import { convert, hostTensor, toUint8 } from "../../core/formats/dtype.ts";
import type { TensorSource } from "../../core/formats/source.ts";
import type { DraftSources, DraftTensorInfo, TensorInfo } from "../../core/plugin.ts";
import type { HostTensor } from "../../core/tensor.ts";
import { decoderTensors } from "../_shared/decoder_weights.ts";
import { checkedShape, firstValues } from "../_shared/first_values.ts";
import { type Eagle3Config, type Eagle3Sizes, eagle3Sizes } from "./config.ts";

/** Every tensor of a draft: trained, frozen, and those that are the verifier's and never saved. */
export function eagle3Tensors(config: Eagle3Config): DraftTensorInfo[] {
  const sizes = eagle3Sizes(config);
  const { hidden, target, states, vocab, draftVocab } = sizes;
  const list: DraftTensorInfo[] = [];
  const put = (info: TensorInfo, trained: boolean, saved = true) => list.push({ ...info, trained, saved });
  const embedding = { name: "embed_tokens.weight", shape: [vocab, hidden], required: false };
  put(embedding, config.embed_requires_grad ?? false);
  put({ name: "fc.weight", shape: [hidden, states * target] }, true);
  if (config.norm_before_fc) put({ name: "input_norm.weight", shape: [states * target] }, true);
  if (config.fc_norm) {
    for (let i = 0; i < states; i++) put({ name: `fc_norm.${i}.weight`, shape: [target] }, true);
  }
  put({ name: "layers.0.hidden_norm.weight", shape: [hidden] }, true);
  for (let i = 0; i < sizes.layers; i++) {
    for (const info of decoderTensors(`layers.${i}`, layerSizes(config, sizes, i))) put(info, true);
  }
  put({ name: "norm.weight", shape: [hidden] }, true);
  put({ name: "lm_head.weight", shape: [draftVocab, hidden] }, true);
  if (sizes.mapped) {
    put({ name: "d2t", shape: [draftVocab], required: false }, false);
    put({ name: "t2d", shape: [vocab], required: false }, false);
  }
  put({ name: "verifier_lm_head.weight", shape: [draftVocab, target] }, false, false);
  put({ name: "verifier_norm.weight", shape: [target] }, false, false);
  return list;
}

function layerSizes(config: Eagle3Config, sizes: Eagle3Sizes, layer: number) {
  const { model_type, attention_bias = false, mlp_bias = false } = config.transformer_layer_config;
  return {
    hidden: sizes.hidden,
    input: layer === 0 ? 2 * sizes.hidden : sizes.hidden,
    intermediate: sizes.intermediate,
    heads: sizes.heads,
    kvHeads: sizes.kvHeads,
    headDim: sizes.headDim,
    qkvBias: attention_bias,
    outputBias: attention_bias,
    mlpBias: mlp_bias,
    headNorms: model_type === "qwen3",
  };
}

/**
 * First values by name: those of the checkpoint, else the embedding, head and final norm of the verifier (the head's
 * rows that the draft vocabulary keeps), norms of ones, and linear layers from U(−1/√in, 1/√in) as torch draws them.
 *
 * source: speculators v0.4.0.1, `models/eagle3/core.py` (`_setup_embeddings_and_lm_heads`), `torch.nn.Linear`
 *
 * @throws {ConfigError} when a tensor has another shape than the config says, a checkpoint lacks one, or no vocabulary
 * map is given where the draft has its own vocabulary
 */
export async function initialiseEagle3(
  config: Eagle3Config,
  sources: DraftSources,
): Promise<Map<string, HostTensor>> {
  const sizes = eagle3Sizes(config), { seed, checkpoint, verifier } = sources;
  const map = sizes.mapped ? await vocabulary(sources, sizes) : null;
  const head = async () => keptRows(await verifier.lmHead(), map?.ids ?? null, sizes);
  return await firstValues(eagle3Tensors(config), {
    seed,
    checkpoint,
    fixed: map ? { d2t: map.d2t, t2d: map.t2d } : {},
    shared: {
      "embed_tokens.weight": () => verifier.embedTokens(),
      "lm_head.weight": head,
      "verifier_lm_head.weight": head,
      "verifier_norm.weight": () => verifier.norm(),
    },
  });
}

/** A vocabulary map as it is stored, and the verifier's id of each draft id. */
interface Vocabulary {
  readonly d2t: HostTensor;
  readonly t2d: HostTensor;
  readonly ids: Int32Array;
}

/** `d2t` and `t2d` of the checkpoint, else those given. */
async function vocabulary(
  { checkpoint, vocabulary: given }: DraftSources,
  sizes: Eagle3Sizes,
): Promise<Vocabulary> {
  const { draftVocab, vocab } = sizes;
  const d2t = await stored(checkpoint, "d2t") ?? (given ? hostTensor(given.d2t, [given.d2t.length]) : null);
  if (!d2t) {
    throw new ConfigError("d2t", `expected a map of ${draftVocab} of ${vocab} tokens, received none`, {
      hint: "Make one with vocab-map",
    });
  }
  const offsets = new BigInt64Array(
    convert(checkedShape(d2t, [draftVocab], "d2t"), "i64").bytes.slice().buffer,
  );
  const derived = new Uint8Array(vocab), ids = new Int32Array(draftVocab);
  offsets.forEach((offset, i) => {
    const id = i + Number(offset);
    if (id < 0 || id >= vocab || derived[id] === 1) {
      throw new ConfigError("d2t", `expected distinct ids below ${vocab}, received ${id} for draft id ${i}`);
    }
    derived[id] = 1;
    ids[i] = id;
  });
  const t2d = await stored(checkpoint, "t2d") ?? (given ? hostTensor(given.t2d, [given.t2d.length]) : null);
  if (t2d) {
    const kept = toUint8(checkedShape(t2d, [vocab], "t2d"));
    const wrong = derived.findIndex((bit, id) => (kept[id] !== 0) !== (bit === 1));
    if (wrong >= 0) {
      throw new ConfigError("t2d", `expected the ids of d2t, received another choice at ${wrong}`);
    }
  }
  return {
    d2t: hostTensor(offsets, [draftVocab]),
    t2d: { ...hostTensor(derived, [vocab]), dtype: "bool" },
    ids,
  };
}

async function stored(source: TensorSource | null, name: string): Promise<HostTensor | null> {
  return source?.has(name) ? await source.read(name) : null;
}

/** The row of the verifier's head for each draft id. */
function keptRows(head: HostTensor, ids: Int32Array | null, sizes: Eagle3Sizes): HostTensor {
  const { vocab, draftVocab, target } = sizes;
  checkedShape(head, [vocab, target], "lm_head.weight of the verifier");
  if (!ids) return head;
  const row = head.bytes.length / vocab;
  const bytes = new Uint8Array(draftVocab * row);
  ids.forEach((id, i) => bytes.set(head.bytes.subarray(id * row, (id + 1) * row), i * row));
  return { shape: [draftVocab, target], dtype: head.dtype, bytes };
}
