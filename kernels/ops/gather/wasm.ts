export function wasm(): void {
  throw new Error("not written");
}
export function wasmGather(): void {
  throw new Error("not written");
}
export function wasmScatterAdd(): void {
  throw new Error("not written");
}
