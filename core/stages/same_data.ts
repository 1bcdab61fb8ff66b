/** Keeps a folder of samples of one kind. */
import { join } from "node:path";
import { DATA_CONFIG_FILE, type DataConfig, readDataConfig } from "../data/data_config.ts";
import { ConfigError } from "../errors.ts";

/** Settings that change what a sample of a given number is. */
const FIELDS = [
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
    const [was, is] = [before, config].map((one) => JSON.stringify(one[field] ?? SILENT[field]) ?? "none");
    if (was === is) continue;
    throw new ConfigError(
      `${join(folder, DATA_CONFIG_FILE)}: ${field}`,
      `expected ${was}, as for the samples there, received ${is}`,
      { hint: "Use the same settings, or another --output-dir" },
    );
  }
}
