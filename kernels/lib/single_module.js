// @ts-self-types="./single_module.d.ts"
// A file of its own, by hand: TypeScript cannot parse the import of a module's source.
import source kernels from "./single_bg.wasm";

export default kernels;
