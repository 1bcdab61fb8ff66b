/** The code of the plugin, as the core calls it. */
import {
  type Backend,
  type DraftAlgorithm,
  newSpeculatorsConfig,
  type Proposal,
  type ProposeInput,
} from "../../mod.ts";
import { type NgramConfig, ngramSchema } from "./config.ts";
import { continuation } from "./continuation.ts";

/** Whether the last `min` tokens stood in the text before: without it there is nothing to propose. */
function seenBefore(history: Int32Array, min: number): boolean {
  const last = history.length - min;
  for (let at = last - 1; at >= 0; at--) {
    let same = 0;
    while (same < min && history[at + same] === history[last + same]) same++;
    if (same === min) return true;
  }
  return false;
}

function propose(backend: Backend, config: NgramConfig, { history, count }: ProposeInput): Proposal {
  if (count === 0 || !seenBefore(history, config.ngram_min)) {
    return { tokens: backend.from(new Int32Array(0), [0]), parents: [] };
  }
  // Appends work and reads nothing: the core does not know the tokens before the verifier has checked them.
  const tokens = continuation(backend.run, backend.from(history, [history.length]), {
    count,
    most: config.ngram_max,
  });
  return { tokens, parents: Array.from({ length: count }, (_, i) => i - 1) };
}

/** Prompt lookup by the longest match. */
export const ngram: DraftAlgorithm<NgramConfig> = {
  schema: ngramSchema,
  configure: (verifier, { speculativeTokens = 3, extra = {} }) => {
    const { ngram_min = 2, ngram_max = 8 } = extra as Partial<NgramConfig>;
    return newSpeculatorsConfig({
      algorithm: "ngram",
      architectures: ["NgramDraft"],
      verifier: { nameOrPath: verifier.nameOrPath, architectures: verifier.architectures },
      speculativeTokens,
    }, { ngram_min, ngram_max });
  },
  needs: () => ({ layers: [], last: false }),
  tensors: () => [],
  initialise: () => Promise.resolve(new Map()),
  proposer: (config, { backend }) => ({
    // All that a sequence's session would remember is in its history.
    start: () => ({ propose: (input) => propose(backend, config, input), [Symbol.dispose]() {} }),
    [Symbol.dispose]() {},
  }),
};
