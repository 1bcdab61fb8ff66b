/**
 * A draft without weights: it looks for the longest earlier occurrence of the text's last tokens and proposes what
 * followed them there (prompt lookup decoding). Good on text that repeats itself, harmless elsewhere: the verifier checks
 * every token.
 *
 * It is a plugin as a stranger would write it: it imports the project's public surface and nothing else, brings an op of
 * its own for both backends, and works from a path or a URL.
 *
 * @module
 */
import { definePlugin, type DraftPlugin } from "../../mod.ts";

const plugin: DraftPlugin = definePlugin({
  apiVersion: 1,
  kind: "draft",
  name: "ngram",
  summary: "Proposes what followed the same words earlier in the text; needs no training",
  trainable: false,
  load: async () => (await import("./algorithm.ts")).ngram,
});

export default plugin;
