export function wasm(): void {
  throw new Error("not written");
}
export function wasmAdd(): void {
  throw new Error("not written");
}
