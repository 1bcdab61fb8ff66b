/** Flags of every command that decodes: how the draft proposes, and how the cache is kept. */
import type { DraftingOptions } from "../mod.ts";
import { type Command, InvalidArgumentError, Option } from "./_commander.ts";
import { given, whole } from "./numbers.ts";

/** What the flags hold. */
export interface DraftingFlags {
  readonly numSpecTokens?: number;
  readonly tree?: { readonly topK: number; readonly depth: number };
  readonly kvDtype?: "f32" | "bf16";
  readonly pluginTimeout?: number;
}

function tree(value: string): { topK: number; depth: number } {
  const [, topK, depth] = /^(\d{1,2})x(\d{1,2})$/.exec(value) ?? [];
  if (Number(topK) >= 1 && Number(depth) >= 1) return { topK: Number(topK), depth: Number(depth) };
  throw new InvalidArgumentError(`expected continuations and levels, such as 4x3, received "${value}"`);
}

/** Adds the flags. */
export function draftingFlags(command: Command): Command {
  return command
    .option(
      "--num-spec-tokens <n>",
      "tokens proposed a round (default: what the speculator's config says; 32 with --tree)",
      whole(1),
    )
    .option(
      "--tree <KxD>",
      "propose trees: the K likeliest continuations of the K best nodes, on D levels (Eagle drafts)",
      tree,
    )
    .addOption(
      new Option("--kv-dtype <dtype>", "how keys and values are kept (default: f32)").choices([
        "f32",
        "bf16",
      ]),
    )
    .option("--plugin-timeout <ms>", "give a draft up that has not proposed by then", whole(1));
}

/** The stage's options from the flags. */
export function draftingOptions(flags: DraftingFlags): DraftingOptions {
  const { numSpecTokens, tree, kvDtype, pluginTimeout } = flags;
  return given({ numSpecTokens, tree, kvDtype, pluginTimeout });
}
