/** A verifier architecture from what sets its family apart from the other decoder models. */
import type { ImageReader, TensorInfo, VerifierArchitecture, VerifierInfo } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import type { FeedForward } from "./decoder.ts";
import {
  attentionTensors,
  type DecoderSizes,
  layerWeights,
  mlpTensors,
  mlpWeights,
} from "./decoder_weights.ts";
import { DecoderVerifier } from "./decoder_verifier.ts";
import type { ImageTower } from "./images.ts";
import { ropeFrequencies } from "./rope.ts";
import { ConfigFields, decoderInfo, type InfoDefaults } from "./verifier_config.ts";

/** A block in the MLP's place. */
export interface BlockKind {
  /** Its tensors. */
  readonly tensors: readonly TensorInfo[];
  /** The block from its tensors, by their names; vectors are f32. */
  build(tensors: ReadonlyMap<string, Tensor>): FeedForward;
}

/** What a layer of a family is. */
export interface LayerKind {
  /** Which biases and norms its attention has, and its MLP, unless `block` stands there. */
  readonly parts: Pick<DecoderSizes, "qkvBias" | "outputBias" | "mlpBias" | "headNorms">;
  /** Keys that a row sees at most; all when absent or `null`. */
  readonly window?: number | null;
  /** What stands in the MLP's place. */
  readonly block?: BlockKind;
  /** Name of one more logit for each head, without a value, that attention's softmax is taken over. */
  readonly sinks?: string;
}

/** The part of a model that reads images. */
export interface ImageKind {
  /** Its tensors. */
  readonly tensors: readonly TensorInfo[];
  /** Makes patches of pixels. */
  readonly reader: ImageReader;
  /** The tower from all the model's tensors; vectors are f32. */
  tower(backend: Backend, tensors: ReadonlyMap<string, Tensor>): ImageTower;
}

/** A family of decoder models. */
export interface DecoderFamily {
  /** What its configs may leave out. */
  readonly defaults?: InfoDefaults;
  /** The activation's name; any where it is `null`, as the family does not read it. */
  readonly activation?: string | null;
  /** What the names of its tensors begin with; `model` when absent. */
  readonly root?: string;
  /** The part that reads images, if it has one. */
  images?(info: VerifierInfo, fields: ConfigFields): ImageKind;
  /** Its layers, in order. Throws a `ConfigError` for what cannot be used. */
  layers(info: VerifierInfo, fields: ConfigFields): readonly LayerKind[];
}

const HEAD = "lm_head.weight";

/** What the names of a layer's tensors begin with. */
export function layerPrefix(layer: number, root = "model"): string {
  return `${root}.layers.${layer}`;
}

function fieldsOf(info: VerifierInfo): ConfigFields {
  return new ConfigFields(info.raw, info.nameOrPath);
}

function tied(info: VerifierInfo): boolean {
  return fieldsOf(info).flag("tie_word_embeddings");
}

function rolesOf(info: VerifierInfo, root: string): ReturnType<VerifierArchitecture["roles"]> {
  const embed = `${root}.embed_tokens.weight`;
  return { embed, head: tied(info) ? embed : HEAD, norm: `${root}.norm.weight` };
}

function tensorsOf(info: VerifierInfo, layers: readonly LayerKind[], root: string): TensorInfo[] {
  const { embed, norm } = rolesOf(info, root);
  const { hiddenSize: hidden, intermediateSize: intermediate, vocabSize, heads, kvHeads, headDim } = info;
  const list: TensorInfo[] = [{ name: embed, shape: [vocabSize, hidden] }];
  for (const [index, { parts, block, sinks }] of layers.entries()) {
    const prefix = layerPrefix(index, root);
    // Old checkpoints hold the frequencies too; they follow from the config.
    list.push({ name: `${prefix}.self_attn.rotary_emb.inv_freq`, shape: [headDim / 2], required: false });
    list.push(...attentionTensors(prefix, { hidden, heads, kvHeads, headDim, ...parts }));
    if (sinks) list.push({ name: sinks, shape: [heads] });
    list.push(...block?.tensors ?? mlpTensors(prefix, { hidden, intermediate, ...parts }));
  }
  list.push({ name: norm, shape: [hidden] });
  // Some checkpoints keep a copy of the embedding under the head's name: tied means that it is not used.
  list.push({ name: HEAD, shape: [vocabSize, hidden], required: !tied(info) });
  return list;
}

/** The architecture of a family. */
export function decoderArchitecture(family: DecoderFamily): VerifierArchitecture {
  const { root = "model" } = family;
  const layersOf = (info: VerifierInfo) => family.layers(info, fieldsOf(info));
  const imagesOf = (info: VerifierInfo) => family.images?.(info, fieldsOf(info));
  const all = (info: VerifierInfo) => [
    ...tensorsOf(info, layersOf(info), root),
    ...imagesOf(info)?.tensors ?? [],
  ];
  const architecture: VerifierArchitecture = {
    info(config, nameOrPath) {
      const info = decoderInfo(config, nameOrPath, family.defaults), { activation = "silu" } = family;
      if (activation !== null) fieldsOf(info).only("hidden_act", activation);
      // What the tensors' list and the tables are made from is checked now, before anything is loaded.
      all(info);
      ropeFrequencies({
        headDim: info.headDim,
        theta: info.ropeTheta,
        scaling: info.ropeScaling,
        maxPositions: info.maxPositions,
      });
      return info;
    },
    tensors: all,
    roles: (info) => rolesOf(info, root),
    images: (info) => imagesOf(info)?.reader ?? null,
    model(info, { backend, tensors }) {
      const used = new Map(tensors), layers = layersOf(info), images = imagesOf(info);
      for (const { name, required } of architecture.tensors(info)) {
        if (required !== false) continue;
        used.get(name)?.[Symbol.dispose]();
        used.delete(name);
      }
      return new DecoderVerifier(info, {
        backend,
        tensors: used,
        ...architecture.roles(info),
        ...images ? { images: (tensors: ReadonlyMap<string, Tensor>) => images.tower(backend, tensors) } : {},
        layer(index, tensors) {
          const { block, window = null, sinks } = layers[index]!, prefix = layerPrefix(index, root);
          const mlp = block ? block.build(tensors) : mlpWeights(tensors, prefix);
          const weights = layerWeights(tensors, prefix, mlp);
          return sinks === undefined ? { weights, window } : { weights, window, sinks: tensors.get(sinks)! };
        },
      });
    },
  };
  return architecture;
}
