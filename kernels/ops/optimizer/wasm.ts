export function wasm(): void {
  throw new Error("not written");
}
export function wasmAdamw(): void {
  throw new Error("not written");
}
export function wasmClipScale(): void {
  throw new Error("not written");
}
