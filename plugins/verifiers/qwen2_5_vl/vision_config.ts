/** What a config of Qwen2.5-VL says of its vision tower, and the tower's tensors. */
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
  /** Width of the language model. */
  readonly out: number;
  /** Rows of the language model along each side of a window. */
  readonly window: number;
  /** Blocks whose patches see their whole frame; in the others they see their window. */
  readonly whole: readonly number[];
  /** What pixels are made to. */
  readonly images: QwenImages;
  /** For each of the language model's frequencies the position that turns it: 0 time, 1 height, 2 width. */
  readonly axes: readonly number[];
}

/** The first frequencies turn with time, the next with height, the last with width. */
function inTurn([time, height]: MropeSections, half: number): readonly number[] {
  return Array.from({ length: half }, (_, i) => i < time ? 0 : i < time + height ? 1 : 2);
}

/**
 * Reads the sizes of the tower.
 *
 * @throws {ConfigError} when a field is missing or cannot be used
 */
export function visionSizes(info: VerifierInfo, fields: ConfigFields): VisionSizes {
  const config = fields.record("vision_config") ?? {};
  const own = new ConfigFields(config, `${info.nameOrPath}: vision_config`);
  own.only("hidden_act", "silu");
  const hidden = own.count("hidden_size"), heads = own.count("num_heads", { most: 4096 });
  if (hidden % (4 * heads) !== 0) throw own.refuse("num_heads", `heads of a multiple of 4 in ${hidden}`);
  const out = own.count("out_hidden_size");
  if (out !== info.hiddenSize) throw own.refuse("out_hidden_size", `the language model's ${info.hiddenSize}`);
  const depth = own.count("depth", { most: 4096 }), patch = own.count("patch_size", { most: 1024 });
  const frames = own.count("temporal_patch_size", { most: 64, fallback: 2 });
  const merge = own.count("spatial_merge_size", { most: 64, fallback: 2 });
  // Published configs call them in_chans.
  const channels = own.count("in_channels" in config ? "in_channels" : "in_chans", { most: 64, fallback: 3 });
  const window = Math.floor(own.count("window_size", { fallback: 112 }) / merge / patch);
  if (window < 1) throw own.refuse("window_size", `at least ${merge * patch}, a row of the language model`);
  return {
    hidden,
    intermediate: own.count("intermediate_size"),
    depth,
    heads,
    headDim: hidden / heads,
    patchShape: [channels, frames, patch, patch],
    patch: channels * frames * patch * patch,
    out,
    window,
    whole: own.layers("fullatt_block_indexes", depth),
    images: { token: fields.whole("image_token_id", 151655), patch, frames, merge },
    axes: inTurn(mropeSections(info).sections, info.headDim / 2),
  };
}

/** What the names of the tower's tensors begin with. */
export const VISION_PREFIX = "visual";

/** Every tensor of the tower. */
export function visionTensors(sizes: VisionSizes): TensorInfo[] {
  const { hidden, intermediate, depth, patchShape, patch, images: { merge }, out } = sizes;
  const list: TensorInfo[] = [], joined = merge ** 2 * hidden;
  const put = (name: string, ...shape: number[]) => list.push({ name: `${VISION_PREFIX}.${name}`, shape });
  const both = (name: string, ...shape: number[]) => {
    put(`${name}.weight`, ...shape);
    put(`${name}.bias`, shape[0]!);
  };
  const stored = [hidden, ...patchShape];
  list.push({ name: `${VISION_PREFIX}.patch_embed.proj.weight`, shape: [hidden, patch], stored });
  for (let block = 0; block < depth; block++) {
    const name = `blocks.${block}`;
    for (const norm of ["norm1", "norm2"]) put(`${name}.${norm}.weight`, hidden);
    both(`${name}.attn.qkv`, 3 * hidden, hidden);
    both(`${name}.attn.proj`, hidden, hidden);
    for (const part of ["gate_proj", "up_proj"]) both(`${name}.mlp.${part}`, intermediate, hidden);
    both(`${name}.mlp.down_proj`, hidden, intermediate);
  }
  put("merger.ln_q.weight", hidden);
  both("merger.mlp.0", joined, joined);
  both("merger.mlp.2", out, joined);
  return list;
}
