/**
 * A draft without weights: it looks for the last two tokens earlier in the text and proposes what followed them there
 * (prompt lookup decoding). Good on text that repeats itself, harmless elsewhere: the verifier checks every token.
 *
 * A plugin is a module with a default export, so this one works from a path or a URL:
 * `deno run -A cli/main.ts plugins --plugin ./examples/lookup_draft.ts`.
 *
 * @module
 */
import {
  definePlugin,
  type DraftPlugin,
  newSpeculatorsConfig,
  type ProposerSession,
  type SpeculatorConfig,
} from "../mod.ts";

const MATCH = 2; // tokens that must be the same

/** What followed the latest earlier occurrence of the last tokens; empty when there is none. */
function lookup(history: Int32Array, count: number): Int32Array {
  const end = history.length - MATCH;
  for (let at = end - 1; at >= 0; at--) {
    let same = 0;
    while (same < MATCH && history[at + same] === history[end + same]) same++;
    if (same === MATCH) return history.slice(at + MATCH, at + MATCH + count);
  }
  return new Int32Array(0);
}

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "lookup",
  summary: "Proposes what followed the same words earlier in the text; needs no training",
  trainable: false,
  load: () =>
    Promise.resolve({
      schema: {
        "~standard": {
          version: 1,
          vendor: "example",
          validate: (value) => ({ value: value as SpeculatorConfig }),
        },
      },
      configure: (verifier, { speculativeTokens }) =>
        newSpeculatorsConfig({
          algorithm: "lookup",
          architectures: ["LookupDraft"],
          verifier: { nameOrPath: verifier.nameOrPath, architectures: verifier.architectures },
          speculativeTokens,
        }, {}),
      needs: () => ({ layers: [], last: false }),
      tensors: () => [],
      initialise: () => Promise.resolve(new Map()),
      proposer: (_config, { backend }) => ({
        start: (): ProposerSession => ({
          propose({ history, count }) {
            const found = lookup(history, count);
            return {
              tokens: backend.from(found, [found.length]),
              parents: Array.from(found, (_, i) => i - 1),
            };
          },
          [Symbol.dispose]() {},
        }),
        [Symbol.dispose]() {},
      }),
    }),
});

export default plugin;
