/** What the tests of conversion share. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openWeights } from "../core/formats/weights.ts";
import {
  convert,
  type ConvertOptions,
  type ConvertResult,
  createRuntime,
  finish,
  type HostTensor,
} from "../mod.ts";

/** What a conversion needs, and whatever else is set. */
export type Options = Partial<ConvertOptions> & Pick<ConvertOptions, "model" | "outputPath">;

/** Converts, to the end. */
export async function run(options: Options): Promise<ConvertResult> {
  return await finish(convert(options, await createRuntime({ device: "wasm" })));
}

/** All tensors of a folder. */
export async function readAll(folder: string): Promise<Map<string, HostTensor>> {
  using source = await openWeights(folder);
  return new Map(
    await Promise.all(source.names().map(async (name) => [name, await source.read(name)] as const)),
  );
}

/** The config of a folder. */
export async function readConfig(
  folder: string,
): Promise<Record<string, unknown> & { transformer_layer_config: Record<string, unknown> }> {
  return JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
}

/** Asserts that a conversion told something. */
export function said(result: ConvertResult, what: RegExp): void {
  assert.ok(result.notes.some(({ text }) => what.test(text)), String(what));
}
