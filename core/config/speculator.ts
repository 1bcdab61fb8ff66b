/**
 * A speculator's `config.json`: read, brought up to date, written as the Python system writes it.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError, FormatError } from "../errors.ts";
import { readText, writeFileAtomic } from "../files.ts";
import type { SpeculatorConfig } from "../plugin.ts";
import { checkConfig } from "./check.ts";
import { FORMAT_VERSIONS } from "./create.ts";
import { formatPythonJson, parsePythonJson, spelledLike } from "./python_json.ts";
import { type CommonConfig, commonSchema } from "./schema.ts";
import { upgradeConfig } from "./upgrade.ts";

/** Largest `config.json` that is read. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Fields that are floats in Python: transformers' layer configs, their rotary scaling, and the proposal methods. */
const FLOAT_FIELDS: ReadonlySet<string> = new Set([
  "accept_tolerance",
  "attention_dropout",
  "attention_factor",
  "beta_fast",
  "beta_slow",
  "factor",
  "high_freq_factor",
  "initializer_range",
  "low_freq_factor",
  "mscale",
  "mscale_all_dim",
  "partial_rotary_factor",
  "rms_norm_eps",
  "rope_theta",
  "router_aux_loss_coef",
]);

/**
 * Reads the config of a speculator and checks the fields that all speculators have. Others are kept as they are; those
 * of an algorithm are for the schema of its plugin ({@linkcode checkConfig}).
 *
 * @param folder the speculator's folder
 * @throws {NotFoundError} when there is no `config.json`
 * @throws {FormatError} when it is not JSON
 * @throws {ConfigError} when it is not of a speculator, or a field is missing or wrong
 */
export async function readSpeculatorConfig(folder: string): Promise<CommonConfig> {
  const path = join(folder, "config.json");
  const config = upgradeConfig(await readConfigJson(folder));
  if (!("speculators_model_type" in config)) {
    throw new ConfigError(
      `${path}: speculators_model_type`,
      "expected the name of an algorithm, received nothing",
      {
        hint:
          "This model is not in the speculators format: a verifier is given as one, a foreign draft is converted",
      },
    );
  }
  return await checkConfig(commonSchema(), config, { where: path });
}

/**
 * Reads any model's `config.json`, with the spelling of its numbers remembered.
 *
 * @param folder the model's folder
 * @throws {NotFoundError} when there is none
 * @throws {FormatError} when it is not a JSON object
 */
export async function readConfigJson(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const path = join(folder, "config.json");
  const text = await readText(path, { maxBytes: MAX_BYTES });
  let config: unknown;
  try {
    config = parsePythonJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(path, `expected JSON, received ${reason}`, { cause });
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new FormatError(
      path,
      `expected a JSON object, received ${Array.isArray(config) ? "a list" : "a value"}`,
    );
  }
  return config as Record<string, unknown>;
}

/**
 * Writes the config of a speculator in one step: keys sorted, numbers as Python spells them. A config that was read
 * comes out with the same bytes. One that does not name the versions it was written by, as a plugin makes it, gets ours.
 *
 * @throws {ConfigError} when a field is missing or wrong
 * @throws {WriteError} when the file cannot be written
 */
export async function writeSpeculatorConfig(folder: string, config: SpeculatorConfig): Promise<void> {
  const path = join(folder, "config.json");
  const whole = spelledLike({ ...FORMAT_VERSIONS, ...config }, config);
  await writeConfigJson(folder, await checkConfig(commonSchema(), whole, { where: path }));
}

/**
 * Writes any model's `config.json` in one step: keys sorted, numbers as Python spells them.
 *
 * @throws {ConfigError} when it holds what JSON cannot
 * @throws {WriteError} when the file cannot be written
 */
export async function writeConfigJson(
  folder: string,
  config: Readonly<Record<string, unknown>>,
): Promise<void> {
  const path = join(folder, "config.json");
  let text: string;
  try {
    text = formatPythonJson(config, { floatFields: FLOAT_FIELDS });
  } catch (cause) {
    throw new ConfigError(path, cause instanceof Error ? cause.message : String(cause), { cause });
  }
  await writeFileAtomic(path, text + "\n");
}

/** Tokens a round by the default proposal method; the format's own default is 5. */
export function speculativeTokens(config: CommonConfig): number {
  const { proposal_methods: methods, default_proposal_method: name } = config.speculators_config;
  return methods.find((method) => method.proposal_type === name)?.speculative_tokens ?? 5;
}
