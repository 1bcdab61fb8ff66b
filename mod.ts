/**
 * Speculative decoding for Deno: a small draft model guesses a few tokens ahead, the large one checks them in one pass,
 * so the text is the same and comes sooner. This module is the public surface; importing it opens no device and loads
 * no plugin.
 *
 * @example The plugins there are
 * ```ts
 * import { createRuntime } from "@speculators/deno";
 *
 * const { registry } = await createRuntime({ device: "wasm" });
 * console.log(registry.list("draft").map((plugin) => plugin.name).join(", "));
 * ```
 *
 * @example Speed of a speculator, from the library instead of the command line
 * ```ts ignore
 * import { createRuntime, evaluate, finish } from "@speculators/deno";
 *
 * const runtime = await createRuntime({ device: "auto" });
 * const found = await finish(evaluate({ base: "verifier", speculator: "speculator", data: ["chats.jsonl"] }, runtime));
 * console.log(found.mean_accepted_length, found.tokens_per_second);
 * ```
 *
 * @module
 */
import type { PluginLock } from "./core/plugin_pins.ts";
import type { Runtime } from "./core/runtime.ts";

// Contracts: plugins, events, compute, errors.
export * from "./core/errors.ts";
export * from "./core/events.ts";
export * from "./core/plugin.ts";
export * from "./core/tensor.ts";
export type { PackedBatch } from "./core/data/batch.ts";
export type { Dequantise, QuantisedType } from "./core/formats/gguf.ts";
export type { FileSpec, RowRange } from "./core/formats/source.ts";
export type { AdamWStep, OptimizerOps } from "./core/optim.ts";
export { createRegistry, type PluginEntry, type Registry } from "./core/registry.ts";
export type { ImportOptions } from "./core/plugin_import.ts";
export type { PluginLock } from "./core/plugin_pins.ts";
export type { CoreOps, Runtime } from "./core/runtime.ts";
export type { CastOps, ComputeDType } from "./core/compute_dtype.ts";
export type { Part, TapeOps } from "./core/tape.ts";

// Models and their files.
export * from "./core/config/mod.ts";
export {
  readJson,
  type ReadTextOptions,
  writeFileAtomic,
  writeJsonAtomic,
  type WriteJsonOptions,
} from "./core/files.ts";
export { type OpenSpeculator, openSpeculator } from "./core/speculator.ts";
export { type DeviceRoom, type Fit, fit, type ModelNeeds, modelNeeds } from "./core/fit.ts";
export {
  type LoadOptions,
  type LoadProgress,
  type OpenedVerifier,
  openVerifier,
  type OpenVerifierOptions,
} from "./core/verifier.ts";
export {
  ChatTemplate,
  type DecodeOptions as TextDecodeOptions,
  type EncodeOptions,
  type Encoding,
  loadTextModel,
  type Message,
  type RenderedSpans,
  type RenderOptions,
  TextModel,
  type TextModelFiles,
  TextStream,
  TextTokenizer,
} from "./core/text/mod.ts";
export { type ModelFiles, resolveModel, type ResolveOptions } from "./core/hub.ts";
export { type FoundTensor, inspect, type Inspection } from "./core/inspect.ts";

// Decoding.
export { Acceptance, type AcceptanceRates } from "./core/decode/acceptance.ts";
export { decode } from "./core/decode/decode.ts";
export type { DraftingOptions } from "./core/decode/drafting.ts";
export type { TokenLogprobs } from "./core/decode/logprobs.ts";
export type {
  DecodeOptions,
  DecodeRound,
  Draft,
  LoopOptions,
  SequenceOptions,
} from "./core/decode/options.ts";
export {
  Scheduler,
  type SchedulerOptions,
  type SchedulerRequest,
  type SchedulerStats,
} from "./core/decode/scheduler.ts";
export type { Sampling, Uniform } from "./core/decode/sampling.ts";

// Stages.
export type { Compression, SampleEnding } from "./core/data/store.ts";
export type { Coverage, SelectVocabulary } from "./core/data/vocabulary.ts";
export type { ScheduleName } from "./core/schedule.ts";
export { convert, type ConvertOptions, type ConvertResult } from "./core/stages/convert.ts";
export { datagen, type DatagenOptions, type DatagenResult } from "./core/stages/datagen.ts";
export type { RecordOptions } from "./core/stages/_data_records.ts";
export {
  type InspectedSample,
  inspectSamples,
  type InspectSamplesOptions,
  type InspectSamplesResult,
} from "./core/stages/inspect_samples.ts";
export {
  mergeSamples,
  type MergeSamplesOptions,
  type MergeSamplesResult,
} from "./core/stages/merge_samples.ts";
export { evaluate, type EvaluateOptions, type EvaluateResult } from "./core/stages/evaluate.ts";
export { type FileSettings, readEvaluationFile } from "./core/evaluation/config_file.ts";
export { evaluateLog } from "./core/stages/evaluate_log.ts";
export {
  evaluateServer,
  type EvaluateServerOptions,
  type EvaluateServerResult,
  type ServerSource,
} from "./core/stages/evaluate_server.ts";
export type { AskedSampling } from "./core/evaluation/served.ts";
export type { SweepOptions } from "./core/evaluation/sweep.ts";
export { writeComparison } from "./core/evaluation/compare.ts";
export type { Compared, EvaluationFigures } from "./core/evaluation/figures.ts";
export {
  type DataSetFigures,
  type EvaluationRun,
  readResults,
  RESULTS_SCHEMA,
  RESULTS_VERSION,
  type SweepPoint,
} from "./core/evaluation/results.ts";
export { type About, evaluationRun, type Found } from "./core/evaluation/run.ts";
export { writeResults } from "./core/evaluation/write_results.ts";
export { requireWritable } from "./core/folders.ts";
export { type ExportOptions, exportSpeculator } from "./core/stages/export.ts";
export { generate, type GenerateOptions, type GenerateResult } from "./core/stages/generate.ts";
export { logged, type LoggedOptions } from "./core/stages/logged.ts";
export { pipeline, type PipelineOptions, type PipelineResult } from "./core/stages/pipeline.ts";
export {
  mergeSettings,
  PIPELINE_STAGES,
  type PipelineFile,
  type PipelineSettings,
  type PipelineStage,
  readPipelineFile,
  stageSettings,
} from "./core/stages/pipeline_settings.ts";
export { regenerate, type RegenerateOptions, type RegenerateResult } from "./core/stages/regenerate.ts";
export { reported } from "./core/stages/reported.ts";
export { train } from "./core/stages/train.ts";
export type { TrainOptions, TrainResult } from "./core/stages/train_options.ts";
export { validate, type ValidateOptions, type ValidateResult } from "./core/stages/validate.ts";
export { vocabMap, type VocabMapOptions, type VocabMapResult } from "./core/stages/vocab_map.ts";

// Serving, and load on servers.
export { serve, type Server, type ServerOptions } from "./core/serve/server.ts";
export type { OpenEngineOptions } from "./core/serve/open.ts";
export { type LoadResult, type LoadRunOptions, type LoadShape, runLoad } from "./core/load/load.ts";
export type { LoadBody, LoadRecord } from "./core/load/request.ts";
export { type LoadSummary, type Percentiles, percentiles, summarise } from "./core/load/summary.ts";

// Reports.
export type * from "./core/report/chart.ts";
export { type Live, type PageOptions, reportContent, reportPage } from "./core/report/page.ts";
export { RunReport, type RunReportOptions } from "./core/report/run_report.ts";

/** How a runtime is put together. */
export interface RuntimeOptions {
  /** Where to compute; `auto` takes a GPU where there is one, else WASM. */
  readonly device?: "auto" | "webgpu" | "wasm";
  /** Paths or URLs of modules with further plugins. */
  readonly plugins?: readonly string[];
  /** Where plugins from an address are pinned; nowhere when absent. */
  readonly pluginLock?: PluginLock;
  /** Asks stages to stop. */
  readonly signal?: AbortSignal;
}

/**
 * Puts the core, the built-in plugins and the kernels together. Opens nothing: a device is opened by the stage that
 * computes, a plugin loaded by the one that uses it.
 *
 * @throws {PluginError} when a further plugin cannot be imported or has a name that is taken
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const [plugins, kernels, ops] = await Promise.all([
    import("./plugins/mod.ts"),
    import("./kernels/mod.ts"),
    import("./kernels/ops/mod.ts"),
  ]);
  let registry = plugins.builtins();
  const importing = options.pluginLock ? { lock: options.pluginLock } : {};
  for (const specifier of options.plugins ?? []) registry = await registry.import(specifier, importing);
  const { device = "auto" } = options;
  let chosen: Promise<"webgpu" | "wasm"> | undefined; // looked for once, however many stages compute
  const kind = async () => await (chosen ??= kernels.probe().then((found) => found.chosen));
  return {
    registry,
    ops,
    openBackend: async () => await kernels.open(device === "auto" ? await kind() : device),
    selectVocabulary: kernels.selectVocabulary,
    dequantise: kernels.dequantise,
    ...(options.signal ? { signal: options.signal } : {}),
  };
}
