/* tslint:disable */
/* eslint-disable */
export const dequantise: (a: number, b: number, c: number, d: number) => number;
export const kernel_names: () => [number, number];
export const memory_give: (a: number, b: number) => void;
export const memory_take: (a: number, b: number) => number;
export const pool_args: (a: number) => number;
export const pool_awake: (a: number) => void;
export const pool_help: (a: number, b: number) => number;
export const pool_launch: (a: number, b: number, c: number, d: number) => void;
export const pool_new: () => number;
export const select_vocabulary: (a: number, b: number, c: number, d: number, e: number) => [number, number];
export const __wbindgen_externrefs: WebAssembly.Table;
export const __wbindgen_free: (a: number, b: number, c: number) => void;
export const memory: WebAssembly.Memory;
export const __wbindgen_malloc: (a: number, b: number) => number;
export const __wbindgen_thread_destroy: (a?: number, b?: number, c?: number) => void;
export const __wbindgen_start: (a: number) => void;
