/** What a user may say about drafting and the cache, the same in every stage that decodes. */
import type { ProposerOptions } from "../plugin.ts";
import type { LoopOptions, SequenceOptions } from "./options.ts";

/** Options of the stages that decode. */
export interface DraftingOptions extends Pick<LoopOptions, "kvDtype" | "pluginTimeout"> {
  /** Tokens proposed a round; the speculator's own number when absent, 32 where trees are asked for. */
  readonly numSpecTokens?: number;
  /** Propose trees: continuations of a node, and levels. A draft that cannot proposes chains. */
  readonly tree?: { readonly topK: number; readonly depth: number };
}

/** Nodes of a tree where nobody says how many. */
const NODES = 32;

/** How a speculator is to propose, as `openSpeculator` takes it. */
export function proposing({ tree }: DraftingOptions): { readonly proposing?: ProposerOptions } {
  return tree ? { proposing: { tree } } : {};
}

/** The options of a loop, and how many tokens are proposed in it; plain decoding without a speculator. */
export function drafting(
  { numSpecTokens, tree, kvDtype, pluginTimeout }: DraftingOptions,
  speculator: (Required<Pick<LoopOptions, "draft">> & { readonly numSpecTokens: number }) | null,
): Pick<LoopOptions, "draft" | "kvDtype" | "pluginTimeout"> & Pick<SequenceOptions, "numSpecTokens"> {
  return {
    ...(speculator
      ? {
        draft: speculator.draft,
        numSpecTokens: numSpecTokens ?? (tree ? NODES : speculator.numSpecTokens),
      }
      : {}),
    ...(kvDtype ? { kvDtype } : {}),
    ...(pluginTimeout === undefined ? {} : { pluginTimeout }),
  };
}
