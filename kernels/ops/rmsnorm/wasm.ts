export function wasm(): void {
  throw new Error("not written");
}
export function wasmGrad(): void {
  throw new Error("not written");
}
