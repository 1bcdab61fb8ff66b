export function wasm(): void {
  throw new Error("not written");
}
export function wasmArgmax(): void {
  throw new Error("not written");
}
export function wasmSum(): void {
  throw new Error("not written");
}
export function wasmSumRows(): void {
  throw new Error("not written");
}
