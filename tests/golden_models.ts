/**
 * The tokenizers that the preprocessing goldens were made with; for tests only.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { loadTextModel, TextModel } from "../core/text/mod.ts";
import { goldenJson } from "./golden.ts";

/** A tokenizer as `preprocess/cases.json` names it. */
interface GoldenTokenizer {
  from: string;
  version?: string;
}

/** Names of the tokenizers of the goldens. */
export function goldenTokenizers(): string[] {
  return Object.keys(
    goldenJson<{ tokenizers: Record<string, GoldenTokenizer> }>("preprocess", "cases.json").tokenizers,
  );
}

/** Loads one of them, from its npm package or the tiny one of the examples; with another template where one is given. */
export async function goldenModel(name: string, chatTemplate?: string): Promise<TextModel> {
  const { tokenizers } = goldenJson<{ tokenizers: Record<string, GoldenTokenizer> }>(
    "preprocess",
    "cases.json",
  );
  const { from, version } = tokenizers[name]!;
  const npm = /^npm (\S+?),? (\S+?)\/?$/.exec(from);
  const base = npm === null
    ? new URL("../examples/assets/tiny-verifier", import.meta.url).href
    : `npm:${npm[1]}@${version}/${npm[2]}`;
  const [tokenizer, tokenizerConfig] = await Promise.all([
    json(`${base}/tokenizer.json`),
    json(`${base}/tokenizer_config.json`),
  ]);
  const config = tokenizerConfig as Record<string, unknown>;
  if (npm === null && chatTemplate === undefined) return await loadTextModel(fileURLToPath(base));
  return new TextModel({ tokenizer, tokenizerConfig: config, chatTemplate }, base);
}

/** The specifier is no literal: the type checker would otherwise work out the type of ten megabytes of JSON. */
async function json(specifier: string): Promise<unknown> {
  return (await import(specifier, { with: { type: "json" } })).default;
}

/** Lines of a golden JSONL file. */
export function goldenLines<T>(path: string): T[] {
  return Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line) as T);
}
