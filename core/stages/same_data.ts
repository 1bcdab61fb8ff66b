/** Keeps a folder of samples of one kind. */
import { join } from "node:path";
import { DATA_CONFIG_FILE, type DataConfig, readDataConfig } from "../data/data_config.ts";
import { ConfigError } from "../errors.ts";

/** Settings that change what a sample of a given number is. */
const FIELDS = [
  "weights",
  "layers",
  "hiddenSize",
  "seqLength",
  "seed",
  "trainDataPath",
  "dtype",
  "ending",
  "compress",
  "strictUpstream",
  "turnDropout",
  "assistantPattern",
  "shard",
] as const;

/** What folders have that do not say: those written by the Python system, or before there was a choice. */
const SILENT: Partial<DataConfig> = {
  dtype: "bfloat16",
  ending: "pt",
  strictUpstream: false,
  turnDropout: false,
};

/**
 * Refuses to add samples to a folder whose samples were made otherwise.
 *
 * @throws {ConfigError} naming the first setting that differs
 */
export async function checkSameData(folder: string, config: DataConfig): Promise<void> {
  const before = await readDataConfig(folder);
  if (before === null) return;
  for (const field of FIELDS) {
    // Folders of the Python system, and older ones, do not say whose weights: then the name is all there is.
    if (field === "weights" && (before.weights === undefined || config.weights === undefined)) continue;
    const [was, is] = [before, config].map((one) => JSON.stringify(one[field] ?? SILENT[field]) ?? "none");
    if (was === is) continue;
    if (field === "weights") throw otherWeights(folder, before, config);
    throw new ConfigError(
      `${join(folder, DATA_CONFIG_FILE)}: ${field}`,
      `expected ${was}, as for the samples there, received ${is}`,
      { hint: "Use the same settings, or another --output-dir" },
    );
  }
}

function otherWeights(folder: string, before: DataConfig, { targetModelPath }: DataConfig): ConfigError {
  const was = before.targetModelPath;
  return new ConfigError(
    "targetModelPath",
    `expected the weights of ${was} that made the samples in ${folder}, received other ones` +
      (was === targetModelPath ? " under that name" : `, of ${targetModelPath}`),
    { hint: "States of two models must not be mixed: use another --output-dir" },
  );
}
