export function wasm(): void {
  throw new Error("not written");
}
