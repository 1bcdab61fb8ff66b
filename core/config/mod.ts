/**
 * The speculators `config.json`: read, checked, brought up to date, written.
 *
 * @module
 */
export { checkConfig } from "./check.ts";
export {
  DEFAULT_SPECULATIVE_TOKENS,
  FORMAT_VERSIONS,
  type NewSpeculator,
  newSpeculatorsConfig,
} from "./create.ts";
export { formatPythonJson, parsePythonJson, type PythonJsonOptions } from "./python_json.ts";
export { type CommonConfig, commonSchema, type ProposalMethod, type SpeculatorsConfig } from "./schema.ts";
export {
  readConfigJson,
  readSpeculatorConfig,
  speculativeTokens,
  writeSpeculatorConfig,
} from "./speculator.ts";
