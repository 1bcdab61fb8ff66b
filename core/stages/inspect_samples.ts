/** Samples as a person reads them: which part of a conversation is trained on. Nothing is computed or written. */
import type { Stage } from "../events.ts";
import { resolveModel } from "../hub.ts";
import { requireFolder } from "../folders.ts";
import type { Runtime } from "../runtime.ts";
import { loadTextModel } from "../text/mod.ts";
import { turn } from "../turn.ts";
import { openDataRecords, type RecordOptions } from "./_data_records.ts";

/** What is looked at. */
export interface InspectSamplesOptions extends RecordOptions {
  /** Folder of the model, of which the tokenizer and the chat template are read. */
  readonly targetModelPath: string;
  /** How many samples. */
  readonly count: number;
}

/** A sample as text. */
export interface InspectedSample {
  /** Its number, as datagen would give it. */
  readonly index: number;
  /** File of its record. */
  readonly path: string;
  /** Line of its record. */
  readonly line: number;
  /** Its tokens. */
  readonly tokens: number;
  /** Of these, trained on. */
  readonly trainedTokens: number;
  /** The text in pieces, one after the other. */
  readonly pieces: readonly { readonly text: string; readonly trained: boolean }[];
  /** Characters that were cut off. */
  readonly cut: number;
}

/** What was looked at. */
export interface InspectSamplesResult {
  /** The samples. */
  readonly samples: readonly InspectedSample[];
  /** Records among them that cannot be used. */
  readonly rejected: readonly { readonly path: string; readonly line: number; readonly reason: string }[];
  /** How the assistant's part is found: a regular expression, or `null` for the template's own marks. */
  readonly pattern: string | null;
}

/**
 * Reads the first samples that datagen would make.
 *
 * @throws {NotFoundError} when a file or the tokenizer is not there
 * @throws {ConfigError} when the assistant's part cannot be found
 */
export async function* inspectSamples(
  options: InspectSamplesOptions,
  runtime: Pick<Runtime, "signal">,
): Stage<InspectSamplesResult> {
  const folder = await resolveModel(options.targetModelPath);
  await requireFolder(folder, {
    what: "a model",
    hint: "Give a folder with tokenizer.json and a chat template",
  });
  using records = await openDataRecords(options, await loadTextModel(folder), { signal: runtime.signal });
  const samples: InspectedSample[] = [], rejected: { path: string; line: number; reason: string }[] = [];
  for (let place = 0; place < records.order.length && samples.length < options.count; place++) {
    await turn(runtime.signal);
    const { found, line, path } = await records.read(place);
    if ("rejected" in found) {
      rejected.push({ path, line, reason: found.rejected });
      continue;
    }
    const { ids, lossMask, offsets, text } = found, end = offsets[2 * ids.length - 1]!;
    samples.push({
      index: samples.length,
      path,
      line,
      tokens: ids.length,
      trainedTokens: lossMask.reduce((a, b) => a + b, 0),
      pieces: piecesOf(text.slice(0, end), lossMask, offsets),
      cut: text.length - end,
    });
    yield {
      type: "progress",
      stage: "inspect",
      done: samples.length,
      total: Math.min(options.count, records.order.length),
      unit: "samples",
    };
  }
  return { samples, rejected, pattern: records.rule.kind === "own" ? null : records.rule.pattern };
}

/** A character is shown as trained when a token that it is in is. */
function piecesOf(text: string, lossMask: Uint8Array, offsets: Int32Array): InspectedSample["pieces"] {
  const trained = new Uint8Array(text.length);
  for (let t = 0; t < lossMask.length; t++) {
    if (lossMask[t] === 1) trained.fill(1, offsets[2 * t]!, offsets[2 * t + 1]!);
  }
  const pieces: { text: string; trained: boolean }[] = [];
  for (let from = 0, to = 0; from < text.length; from = to) {
    while (to < text.length && trained[to] === trained[from]) to++;
    pieces.push({ text: text.slice(from, to), trained: trained[from] === 1 });
  }
  return pieces;
}
