/** Qwen2.5-VL (Bai et al. 2025, arXiv 2502.13923): Qwen2 whose rows have three positions, and a tower that reads images. */
import type { VerifierArchitecture } from "../../../core/plugin.ts";
import { decoderArchitecture } from "../../_shared/decoder_family.ts";
import { needed } from "../../_shared/decoder_weights.ts";
import { qwenWindows } from "../../_shared/qwen.ts";
import { qwenImages } from "../../_shared/qwen_images.ts";
import { Qwen25VlTower } from "./tower.ts";
import { VISION_PREFIX, visionSizes, visionTensors } from "./vision_config.ts";

/** Reads Qwen2.5-VL checkpoints. */
export const qwen2_5Vl: VerifierArchitecture = decoderArchitecture({
  layers({ layers }, fields) {
    fields.quantised();
    return qwenWindows(fields, layers).map((window) => ({ parts: { qkvBias: true }, window }));
  },
  images(info, fields) {
    const sizes = visionSizes(info, fields);
    return {
      tensors: visionTensors(sizes),
      reader: qwenImages(sizes.images, info.nameOrPath),
      tower: (backend, tensors) =>
        new Qwen25VlTower(backend, sizes, (name) => needed(tensors, VISION_PREFIX, name)),
    };
  },
});
