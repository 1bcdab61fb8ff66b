/** A draft without weights: it proposes what followed the newest token when that was last seen. */
import {
  definePlugin,
  type DraftAlgorithm,
  type DraftPlugin,
  newSpeculatorsConfig,
  type ProposerSession,
  type SpeculatorConfig,
} from "../../../mod.ts";

/** What followed the latest earlier occurrence of the last token; empty when there is none. */
function lookup(history: Int32Array, count: number): Int32Array {
  const newest = history.length - 1;
  const at = history.subarray(0, newest).lastIndexOf(history[newest]!);
  return at < 0 ? new Int32Array(0) : history.slice(at + 1, at + 1 + count);
}

const algorithm: DraftAlgorithm = {
  // Any library of https://standardschema.dev will do. `jsonSchema` is what "plugins show --schema" prints.
  schema: {
    "~standard": {
      version: 1,
      vendor: "my_draft",
      validate: (value) => ({ value: value as SpeculatorConfig }),
      jsonSchema: { input: () => ({ type: "object" }) },
    },
  },
  configure: (verifier, { speculativeTokens }) =>
    newSpeculatorsConfig({
      algorithm: "my_draft",
      architectures: ["MyDraft"],
      verifier: { nameOrPath: verifier.nameOrPath, architectures: verifier.architectures },
      speculativeTokens,
    }, {}),
  // The verifier's hidden states that propose() gets; a draft with weights names its tensors below.
  needs: () => ({ layers: [], last: false }),
  tensors: () => [],
  initialise: () => Promise.resolve(new Map()),
  proposer: (_config, { backend }) => ({
    start: (): ProposerSession => ({
      propose({ history, count }) {
        const found = lookup(history, count);
        return {
          tokens: backend.from(found, [found.length]),
          parents: Array.from(found, (_, i) => i - 1), // a chain: each behind the one before
        };
      },
      [Symbol.dispose]() {},
    }),
    [Symbol.dispose]() {},
  }),
};

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "my_draft",
  summary: "Proposes what followed the newest token the last time",
  trainable: false,
  load: () => Promise.resolve(algorithm),
});

export default plugin;
