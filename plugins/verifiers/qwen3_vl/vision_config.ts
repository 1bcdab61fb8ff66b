/** What a config of Qwen3-VL says of its vision tower, and the tower's tensors. */
import type { TensorInfo, VerifierInfo } from "../../../core/plugin.ts";
import { type MropeSections, mropeSections } from "../../_shared/mrope.ts";
import type { QwenImages } from "../../_shared/qwen_images.ts";
import { ConfigFields } from "../../_shared/verifier_config.ts";

/** Sizes of a vision tower. */
export interface VisionSizes {
  /** Width of its stream. */
  readonly hidden: number;
  /** Width of its MLPs. */
  readonly intermediate: number;
  /** Its blocks. */
  readonly depth: number;
  /** Heads of a block. */
  readonly heads: number;
  /** Entries of a head. */
  readonly headDim: number;
  /** Numbers of a patch: channels, frames, rows, columns. */
  readonly patchShape: readonly [number, number, number, number];
  /** Their product. */
  readonly patch: number;
  /** Patches along each side that become one row of the language model. */
  readonly merge: number;
  /** The table of places is `side × side`. */
  readonly side: number;
  /** Width of the language model. */
  readonly out: number;
  /** Blocks after which features are taken that are added behind the language model's first layers. */
  readonly deepstack: readonly number[];
  /** The token that an image stands for. */
  readonly token: number;
  /** What pixels are made to. */
  readonly images: QwenImages;
  /** For each of the language model's frequencies the position that turns it: 0 time, 1 height, 2 width. */
  readonly axes: readonly number[];
}

/** Interleaved: of three frequencies in turn one each, while the sections of height and width last; the rest are of time. */
function interleaved([, height, width]: MropeSections, half: number): readonly number[] {
  return Array.from({ length: half }, (_, i) => {
    if (i % 3 === 1 && i < 3 * height) return 1;
    return i % 3 === 2 && i < 3 * width ? 2 : 0;
  });
}

function axesOf(info: VerifierInfo): readonly number[] {
  const { sections, fields } = mropeSections(info);
  if (!fields.flag("mrope_interleaved")) throw fields.refuse("mrope_interleaved", "true");
  return interleaved(sections, info.headDim / 2);
}

/**
 * Reads the sizes of the tower.
 *
 * @throws {ConfigError} when a field is missing or cannot be used
 */
export function visionSizes(info: VerifierInfo, fields: ConfigFields): VisionSizes {
  const own = new ConfigFields(fields.record("vision_config") ?? {}, `${info.nameOrPath}: vision_config`);
  own.only("hidden_act", "gelu_pytorch_tanh");
  const hidden = own.count("hidden_size"), heads = own.count("num_heads", { most: 4096 });
  if (hidden % (4 * heads) !== 0) throw own.refuse("num_heads", `heads of a multiple of 4 in ${hidden}`);
  const places = own.count("num_position_embeddings"), side = Math.round(Math.sqrt(places));
  if (side * side !== places) throw own.refuse("num_position_embeddings", "a square number");
  const out = own.count("out_hidden_size");
  if (out !== info.hiddenSize) throw own.refuse("out_hidden_size", `the language model's ${info.hiddenSize}`);
  const depth = own.count("depth", { most: 4096 }), size = own.count("patch_size", { most: 1024 });
  const frames = own.count("temporal_patch_size", { most: 64 });
  const channels = own.count("in_channels", { most: 64, fallback: 3 });
  const merge = own.count("spatial_merge_size", { most: 64 }), token = fields.whole("image_token_id", 151655);
  return {
    hidden,
    intermediate: own.count("intermediate_size"),
    depth,
    heads,
    headDim: hidden / heads,
    patchShape: [channels, frames, size, size],
    patch: channels * frames * size * size,
    merge,
    side,
    out,
    deepstack: own.layers("deepstack_visual_indexes", depth),
    token,
    images: { token, patch: size, frames, merge },
    axes: axesOf(info),
  };
}

/** What the names of the tower's tensors begin with. */
export const VISION_PREFIX = "model.visual";

/** Every tensor of the tower. */
export function visionTensors(sizes: VisionSizes): TensorInfo[] {
  const { hidden, intermediate, depth, patchShape, patch, merge, side, out, deepstack } = sizes;
  const list: TensorInfo[] = [], joined = merge ** 2 * hidden;
  const put = (name: string, ...shape: number[]) => list.push({ name: `${VISION_PREFIX}.${name}`, shape });
  const both = (name: string, ...shape: number[]) => {
    put(`${name}.weight`, ...shape);
    put(`${name}.bias`, shape[0]!);
  };
  list.push({
    name: `${VISION_PREFIX}.patch_embed.proj.weight`,
    shape: [hidden, patch],
    stored: [hidden, ...patchShape],
  });
  put("patch_embed.proj.bias", hidden);
  put("pos_embed.weight", side * side, hidden);
  for (let block = 0; block < depth; block++) {
    const name = `blocks.${block}`;
    for (const norm of ["norm1", "norm2"]) both(`${name}.${norm}`, hidden);
    both(`${name}.attn.qkv`, 3 * hidden, hidden);
    both(`${name}.attn.proj`, hidden, hidden);
    both(`${name}.mlp.linear_fc1`, intermediate, hidden);
    both(`${name}.mlp.linear_fc2`, hidden, intermediate);
  }
  const merger = (name: string, norm: number) => {
    both(`${name}.norm`, norm);
    both(`${name}.linear_fc1`, joined, joined);
    both(`${name}.linear_fc2`, out, joined);
  };
  merger("merger", hidden);
  deepstack.forEach((_, k) => merger(`deepstack_merger_list.${k}`, joined));
  return list;
}
