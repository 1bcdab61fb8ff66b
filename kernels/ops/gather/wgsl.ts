import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
export function wgslGather(): WgslPass[] {
  throw new Error("not written");
}
export function wgslScatterAdd(): WgslPass[] {
  throw new Error("not written");
}
