/** Qwen3-VL (Bai et al. 2025, arXiv 2511.21631): Qwen3 whose rows have three positions, and a tower that reads images. */
import type { VerifierArchitecture } from "../../../core/plugin.ts";
import { decoderArchitecture } from "../../_shared/decoder_family.ts";
import { needed } from "../../_shared/decoder_weights.ts";
import { QWEN3_HEAD_DIM, qwen3Attention } from "../../_shared/qwen.ts";
import { qwenImages } from "../../_shared/qwen_images.ts";
import { Qwen3VlTower } from "./tower.ts";
import { VISION_PREFIX, visionSizes, visionTensors } from "./vision_config.ts";

/** Reads Qwen3-VL checkpoints. */
export const qwen3Vl: VerifierArchitecture = decoderArchitecture({
  defaults: { headDim: QWEN3_HEAD_DIM },
  root: "model.language_model",
  layers({ layers }, fields) {
    fields.quantised();
    const parts = qwen3Attention(fields);
    return Array.from({ length: layers }, () => ({ parts }));
  },
  images(info, fields) {
    const sizes = visionSizes(info, fields);
    return {
      tensors: visionTensors(sizes),
      reader: qwenImages(sizes.images, info.nameOrPath),
      tower: (backend, tensors) =>
        new Qwen3VlTower(backend, sizes, (name) => needed(tensors, VISION_PREFIX, name)),
    };
  },
});
