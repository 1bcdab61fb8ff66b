import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
export function wgslAdd(): WgslPass[] {
  throw new Error("not written");
}
