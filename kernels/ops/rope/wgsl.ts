import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
