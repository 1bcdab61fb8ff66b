/**
 * Where to compute: opens a backend by name, or the one that suits the machine, and tells what the machine offers.
 * Neither backend is loaded before it is asked for.
 *
 * @module
 */
import type { Backend } from "../core/tensor.ts";
import { features, type WasmFeatures } from "./features.ts";
import type { QuantisedType } from "./wasm/quantised.ts";
import type { VocabularyMap } from "./wasm/vocabulary.ts";
import type { AdapterFacts } from "./webgpu/device.ts";

export type { WasmFeatures } from "./features.ts";
export type { AdapterFacts } from "./webgpu/device.ts";
export type { QuantisedType } from "./wasm/quantised.ts";
export type { VocabularyMap } from "./wasm/vocabulary.ts";

/** A backend's name, or `auto`: a real GPU where there is one, else WASM. */
export type BackendKind = "auto" | "webgpu" | "wasm";

/** How a backend is opened. */
export interface OpenOptions {
  /** Threads of the WASM backend; all cores if absent. */
  readonly threads?: number;
  /** Which of several GPU adapters; `high-performance` if absent. */
  readonly powerPreference?: "high-performance" | "low-power";
}

/** What a machine offers. */
export interface Probe {
  /** The GPU adapter. */
  readonly webgpu: Partial<AdapterFacts> & {
    /** There is an adapter. */
    readonly available: boolean;
    /** Why there is none, if so. */
    readonly reason: string | null;
  };
  /** What WebAssembly can use. */
  readonly wasm: WasmFeatures;
  /** What `auto` takes. */
  readonly chosen: "webgpu" | "wasm";
  /** Why it takes that. */
  readonly why: string;
}

/** Finds out what the machine offers. Opens no device. */
export async function probe(options: OpenOptions = {}): Promise<Probe> {
  const wasm = features();
  const { adapterFacts, requestAdapter } = await import("./webgpu/device.ts");
  let adapter: GPUAdapter | null = null, reason = "The platform has no GPU adapter";
  try {
    adapter = await requestAdapter(options);
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  if (!adapter) {
    const why = "there is no GPU adapter";
    return { webgpu: { available: false, reason }, wasm, chosen: "wasm", why };
  }
  const facts = adapterFacts(adapter), webgpu = { available: true, reason: null, ...facts };
  return facts.isFallbackAdapter
    ? { webgpu, wasm, chosen: "wasm", why: "the GPU adapter is software, which WASM outruns on the same CPU" }
    : { webgpu, wasm, chosen: "webgpu", why: "there is a GPU" };
}

/**
 * Opens a backend. Dispose of it in the end.
 *
 * @throws {DeviceError} when WebGPU is asked for and there is no adapter
 */
export async function open(kind: BackendKind = "auto", options: OpenOptions = {}): Promise<Backend> {
  const taken = kind === "auto" ? (await probe(options)).chosen : kind;
  if (taken === "webgpu") {
    const { openWebgpu } = await import("./webgpu/mod.ts");
    return await openWebgpu(options);
  }
  const { openWasm } = await import("./wasm/mod.ts");
  return await openWasm(options);
}

/**
 * Chooses the ids a draft keeps: the most frequent, of equals the smaller, then, when too few were observed, the smallest
 * not yet taken; in ascending order. Needs no backend; its code is loaded when it is called.
 *
 * @param ids observed ids, each once
 * @param counts how often each was seen
 * @throws {ConfigError} when `draftSize` exceeds `targetSize`, an id that is kept lies outside, or one comes twice
 */
export async function selectVocabulary(
  ids: Int32Array,
  counts: BigInt64Array,
  draftSize: number,
  targetSize: number,
): Promise<VocabularyMap> {
  const { selectVocabulary } = await import("./wasm/vocabulary.ts");
  return selectVocabulary(ids, counts, draftSize, targetSize);
}

/**
 * Widens weights quantised in blocks to f32. Needs no backend; its code is loaded when it is called.
 *
 * @param blocks blocks of the type, one behind the other
 * @param target f32, one entry for each entry of the blocks
 * @throws {ShapeError} when these are no whole blocks, or the target has another length
 */
export async function dequantise(
  type: QuantisedType,
  blocks: Uint8Array,
  target: Float32Array,
): Promise<void> {
  const { dequantise } = await import("./wasm/quantised.ts");
  dequantise(type, blocks, target);
}
