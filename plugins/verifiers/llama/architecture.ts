/** The Llama architecture (Touvron et al. 2023, arXiv 2302.13971), as transformers names its weights. */
import type { TensorInfo, VerifierArchitecture, VerifierInfo } from "../../../core/plugin.ts";
import { decoderTensors } from "../../_shared/decoder_weights.ts";
import { DenseVerifier } from "../../_shared/dense_verifier.ts";
import { ropeFrequencies } from "../../_shared/rope.ts";
import { ConfigFields, decoderInfo } from "../../_shared/verifier_config.ts";

const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";
const NORM = "model.norm.weight";

function flag(info: VerifierInfo, name: string): boolean {
  return new ConfigFields(info.raw, info.nameOrPath).flag(name);
}

function prefix(layer: number): string {
  return `model.layers.${layer}`;
}

/** Reads Llama checkpoints. */
export const llama: VerifierArchitecture = {
  info(config, nameOrPath) {
    const info = decoderInfo(config, nameOrPath);
    // What the tensors' list and the tables are made from is checked now, before anything is loaded.
    for (const name of ["attention_bias", "mlp_bias", "tie_word_embeddings"]) flag(info, name);
    ropeFrequencies({
      headDim: info.headDim,
      theta: info.ropeTheta,
      scaling: info.ropeScaling,
      maxPositions: info.maxPositions,
    });
    return info;
  },
  tensors(info) {
    const { hiddenSize: hidden, vocabSize } = info;
    const bias = flag(info, "attention_bias");
    const list: TensorInfo[] = [{ name: EMBED, shape: [vocabSize, hidden] }];
    for (let layer = 0; layer < info.layers; layer++) {
      // Old checkpoints hold the frequencies too; they follow from the config.
      const frequencies = `${prefix(layer)}.self_attn.rotary_emb.inv_freq`;
      list.push({ name: frequencies, shape: [info.headDim / 2], required: false });
      list.push(...decoderTensors(prefix(layer), {
        hidden,
        intermediate: info.intermediateSize,
        heads: info.heads,
        kvHeads: info.kvHeads,
        headDim: info.headDim,
        qkvBias: bias,
        outputBias: bias,
        mlpBias: flag(info, "mlp_bias"),
      }));
    }
    list.push({ name: NORM, shape: [hidden] });
    // Some checkpoints keep a copy of the embedding under the head's name: tied means that it is not used.
    list.push({ name: HEAD, shape: [vocabSize, hidden], required: !flag(info, "tie_word_embeddings") });
    return list;
  },
  roles(info) {
    return { embed: EMBED, head: flag(info, "tie_word_embeddings") ? EMBED : HEAD, norm: NORM };
  },
  model(info, { backend, tensors }) {
    const used = new Map(tensors);
    for (const { name, required } of llama.tensors(info)) {
      if (required !== false) continue;
      used.get(name)?.[Symbol.dispose]();
      used.delete(name);
    }
    return new DenseVerifier(info, { backend, tensors: used, ...llama.roles(info), prefix });
  },
};
