/** What a run of datagen will cost, told before it begins. */
import { ConfigError } from "../errors.ts";
import type { Records } from "./_data_records.ts";

/** Records that are looked at for an estimate. */
const LOOKED_AT = 64;

/** Tokens that are tried to tell the time, and how many times more a run must have for that to pay. */
const TRIED = 256, TIMES = 20;

/** Bytes of a file beside its states: archive, padding, the rest of the last block on disk. */
const FILE_BYTES = 4096;

/** An estimate. */
export interface DataCost {
  /** Records in all. */
  readonly records: number;
  /** Samples that they make. */
  readonly samples: number;
  /** Their tokens. */
  readonly tokens: number;
  /** Bytes of those that are not there yet. */
  readonly bytes: number;
  /** Whether every record was looked at. */
  readonly exact: boolean;
  /** Tokens of the samples that are not there yet. */
  readonly left: number;
  /** Some samples' ids, to be tried out; none where the run is too short for that. */
  readonly trial: readonly Int32Array[];
}

/**
 * Estimates from records spread over the whole order.
 *
 * @param perToken bytes of a token's states, id and mask
 * @param there samples that need not be made
 */
export async function estimateCost(
  records: Records,
  options: { readonly perToken: number; readonly there: number },
): Promise<DataCost> {
  const { order } = records, looks = Math.min(order.length, LOOKED_AT);
  let samples = 0, tokens = 0, tried = 0;
  const some: Int32Array[] = [];
  for (let i = 0; i < looks; i++) {
    const { found, patches } = await records.read(Math.floor((i + 0.5) * order.length / looks));
    if ("rejected" in found) continue;
    samples++;
    tokens += found.ids.length;
    if (tried >= TRIED || patches) continue; // part of an image cannot be worked
    some.push(found.ids.slice(0, TRIED - tried));
    tried += some.at(-1)!.length;
  }
  const scale = looks === 0 ? 0 : order.length / looks;
  const all = Math.round(samples * scale), total = Math.round(tokens * scale);
  const missing = all === 0 ? 0 : Math.max(0, 1 - options.there / all), left = Math.round(missing * total);
  return {
    records: order.length,
    samples: all,
    tokens: total,
    bytes: Math.round(missing * (total * options.perToken + all * FILE_BYTES)),
    exact: looks === order.length,
    left,
    trial: left < TIMES * TRIED ? [] : some,
  };
}

/** The estimate as a sentence; `free` is `null` where it is not known. */
export function describeCost(cost: DataCost, free: number | null): string {
  const about = cost.exact ? "" : "about ";
  const text = `${about}${number(cost.samples)} samples of ${number(cost.records)} records, ` +
    `${number(cost.tokens)} tokens, ${sizeText(cost.bytes)} to write` +
    (free === null ? "" : ` with ${sizeText(free)} free`);
  return text[0]!.toUpperCase() + text.slice(1);
}

/**
 * Refuses a run that will not fit on the disk.
 *
 * @throws {ConfigError} when it needs more than there is
 */
export function checkSpace(cost: DataCost, free: number | null, folder: string): void {
  if (free === null || cost.bytes <= free) return;
  throw new ConfigError(
    folder,
    `expected room for about ${sizeText(cost.bytes)} of samples, received ${sizeText(free)} of free space`,
    { hint: "Take fewer samples or states, or another disk; --yes begins all the same" },
  );
}

/** How long it takes, in words. */
export function describeTime(tokens: number, tokensPerSecond: number): string {
  return `That takes about ${durationText(tokens / tokensPerSecond)}, at ${
    number(Math.round(tokensPerSecond))
  } tokens a second`;
}

function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 90) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} days`;
}

function number(n: number): string {
  return n.toLocaleString("en-US").replaceAll(",", " ");
}

function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  for (; bytes >= 1024 && i < units.length - 1; i++) bytes /= 1024;
  return `${i === 0 ? bytes : bytes.toPrecision(3)} ${units[i]}`;
}
