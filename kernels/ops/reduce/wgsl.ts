import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
export function wgslArgmax(): WgslPass[] {
  throw new Error("not written");
}
export function wgslSum(): WgslPass[] {
  throw new Error("not written");
}
export function wgslSumRows(): WgslPass[] {
  throw new Error("not written");
}
