/**
 * Conformance suites: what a backend or an op must do, as tests that anyone can run on their own.
 *
 * ```ts ignore
 * import { backendSuite, inputs, normal, opSuite } from "@speculators/deno/testing";
 *
 * backendSuite("mine", () => open("wasm"));
 * opSuite({ op: myOp, reference: myOpInDoubles, cases: [{ name: "of 3", inputs: inputs(normal([3])), attrs: {} }] },
 *   () => open("wasm"));
 * ```
 *
 * @module
 */
export { backendSuite, type Open, opSuite, type OpSuiteOptions, type SuiteOptions } from "./backend.ts";
export { comparisonSuite } from "./comparison.ts";
export { draftConformance, type DraftSubject, type OpenDraft } from "./draft.ts";
export type { AnyOpCases, OpCase, OpCases, Refusal, Tolerance } from "./op_cases.ts";
export {
  exactly,
  gauss,
  inputs,
  integers,
  normal,
  positive,
  type Random,
  randomOf,
  type Source,
} from "./random.ts";
export { array, type HostArray } from "./reference/array.ts";
export type { Reference } from "./reference/types.ts";
export { ReferenceBackend } from "./reference/backend.ts";
export { engineConformance, type EngineSubject, type OpenEngine } from "./engine.ts";
export { loggerConformance, type LoggerSubject } from "./logger.ts";
export { lossConformance, type LossSubject } from "./loss.ts";
export { pluginConformance, type PluginConformanceOptions } from "./plugin.ts";
export type { Register } from "./register.ts";
export { type OpenModel, verifierConformance, type VerifierSubject } from "./verifier.ts";
