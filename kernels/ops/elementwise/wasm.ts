export function wasm(): void {
  throw new Error("not written");
}
export function wasmAdd(): void {
  throw new Error("not written");
}
export function wasmCast(): void {
  throw new Error("not written");
}
export function wasmExpand(): void {
  throw new Error("not written");
}
export function wasmMul(): void {
  throw new Error("not written");
}
