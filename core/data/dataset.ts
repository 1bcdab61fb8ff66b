/**
 * Data sets by the names that users give: a file, a folder, a data set of the hub, a name for one, each with a weight.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { isHubDataset, resolveDataset, type ResolveDatasetOptions } from "../hub_data.ts";
import { openFiles, openRecords, type RecordSource } from "./source.ts";

/**
 * Names for data sets of the hub.
 *
 * source: speculators v0.4.0.1, `data_generation/configs.py`
 */
const KNOWN: Readonly<Record<string, string>> = {
  sharegpt: "Aeala/ShareGPT_Vicuna_unfiltered:train",
  ultrachat: "HuggingFaceH4/ultrachat_200k:train_sft",
};

/** A data set as it was asked for. */
export interface DatasetName {
  /** Path or name. */
  readonly name: string;
  /** Its share beside the others; absent where none was given. */
  readonly weight?: number;
}

/**
 * Splits `path=weight`. A file that is called just so is no weight.
 *
 * @throws {ConfigError} when the weight is not above 0
 */
export async function parseDatasetName(text: string): Promise<DatasetName> {
  const [, name, number] = /^(.+)=([+-]?[\d.]+(?:e[+-]?\d+)?)$/i.exec(text) ?? [];
  if (name === undefined || await Deno.lstat(text).then(() => true, () => false)) return { name: text };
  const weight = Number(number);
  if (weight > 0 && Number.isFinite(weight)) return { name, weight };
  throw new ConfigError(text, `expected a weight above 0, received "${number}"`, {
    hint: "Write path=weight, as in chats.jsonl=2, or the path alone",
  });
}

/**
 * Opens a data set. What is there under the name is taken before what the name may mean elsewhere.
 *
 * @throws {NotFoundError} when nothing has that name
 * @throws {FormatError} when a file cannot be read
 */
export async function openDataset(name: string, options: ResolveDatasetOptions = {}): Promise<RecordSource> {
  const local = await Deno.lstat(name).then(() => true, () => false);
  const id = local ? name : KNOWN[name] ?? name;
  if (local || !await isHubDataset(id)) return await openRecords(name);
  return await openFiles(name, await resolveDataset(id, options));
}
