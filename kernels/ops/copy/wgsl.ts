import type { WgslPass } from "../../../core/tensor.ts";
export function wgsl(): WgslPass[] {
  throw new Error("not written");
}
export function wgslConcat(): WgslPass[] {
  throw new Error("not written");
}
export function wgslSlice(): WgslPass[] {
  throw new Error("not written");
}
export function wgslUnslice(): WgslPass[] {
  throw new Error("not written");
}
export function wgslWriteRows(): WgslPass[] {
  throw new Error("not written");
}
