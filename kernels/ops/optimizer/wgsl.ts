import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
export function wgslAdamw(): WgslPass[] {
  throw new Error("not written");
}
export function wgslClipScale(): WgslPass[] {
  throw new Error("not written");
}
