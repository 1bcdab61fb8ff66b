export function wasm(): void {
  throw new Error("not written");
}
export function wasmConcat(): void {
  throw new Error("not written");
}
export function wasmSlice(): void {
  throw new Error("not written");
}
export function wasmUnslice(): void {
  throw new Error("not written");
}
export function wasmWriteRows(): void {
  throw new Error("not written");
}
