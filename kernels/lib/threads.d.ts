/* tslint:disable */
/* eslint-disable */

/**
 * Names of the kernels in the order of their numbers, joined by commas.
 */
export function kernel_names(): string;

/**
 * The `draft` ids to keep, ascending: by count descending, then by id ascending; if too few were observed, the smallest ids
 * not yet taken.
 */
export function select_vocabulary(ids: Int32Array | number[], counts: BigInt64Array | bigint[], draft: number): Int32Array;

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly dequantise: (a: number, b: number, c: number, d: number) => number;
    readonly kernel_names: () => [number, number];
    readonly memory_give: (a: number, b: number) => void;
    readonly memory_take: (a: number, b: number) => number;
    readonly pool_args: (a: number) => number;
    readonly pool_awake: (a: number) => void;
    readonly pool_help: (a: number, b: number) => number;
    readonly pool_launch: (a: number, b: number, c: number, d: number) => void;
    readonly pool_new: () => number;
    readonly select_vocabulary: (a: number, b: number, c: number, d: number, e: number) => [number, number];
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly memory: WebAssembly.Memory;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_thread_destroy: (a?: number, b?: number, c?: number) => void;
    readonly __wbindgen_start: (a: number) => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput, memory?: WebAssembly.Memory, thread_stack_size?: number }} module - Passing `SyncInitInput` directly is deprecated.
 * @param {WebAssembly.Memory} memory - Deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput, memory?: WebAssembly.Memory, thread_stack_size?: number } | SyncInitInput, memory?: WebAssembly.Memory): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput>, memory?: WebAssembly.Memory, thread_stack_size?: number }} module_or_path - Passing `InitInput` directly is deprecated.
 * @param {WebAssembly.Memory} memory - Deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path: { module_or_path: InitInput | Promise<InitInput>, memory?: WebAssembly.Memory, thread_stack_size?: number } | InitInput | Promise<InitInput>, memory?: WebAssembly.Memory): Promise<InitOutput>;
