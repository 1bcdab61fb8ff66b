/** An engine: hidden states and text from the verifier on this machine, a token a pass. */
import {
  definePlugin,
  type Engine,
  type EnginePlugin,
  type HostTensor,
  type VerifierModel,
} from "../../../mod.ts";

class MyEngine implements Engine {
  readonly #model: VerifierModel;

  constructor(model: VerifierModel) {
    this.#model = model;
  }

  get info(): Engine["info"] {
    return this.#model.info;
  }

  async capture(samples: readonly Int32Array[], layers: readonly number[]): Promise<HostTensor[][]> {
    const { backend } = this.#model, found: HostTensor[][] = [];
    for (const tokens of samples) {
      using _scope = backend.scope(); // frees on the way out what was computed within
      const { hidden } = this.#model.forward({ tokens, capture: layers, logits: "none" });
      const data = await backend.readAll(hidden);
      found.push(hidden.map(({ shape }, i) => {
        const { buffer, byteOffset, byteLength } = data[i]!;
        return { dtype: "f32", shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
      }));
    }
    return found;
  }

  async generate(
    { tokens, maxTokens, eosTokenIds = this.info.eosTokenIds }: Parameters<Engine["generate"]>[0],
  ): Promise<Int32Array> {
    const { backend } = this.#model, text: number[] = [];
    using cache = this.#model.cache(tokens.length + maxTokens);
    for (let input = tokens; text.length < maxTokens; input = Int32Array.of(text.at(-1)!)) {
      using _scope = backend.scope();
      const { logits } = this.#model.forward({ tokens: input, cache, logits: "last" });
      const row = await backend.read(logits!) as Float32Array;
      const next = row.reduce((best, x, id) => x > row[best]! ? id : best, 0);
      text.push(next);
      if (eosTokenIds.includes(next)) break;
    }
    return Int32Array.from(text);
  }

  [Symbol.dispose](): void {
    this.#model[Symbol.dispose]();
  }
}

const plugin: EnginePlugin = definePlugin({
  apiVersion: 1,
  kind: "engine",
  name: "my_engine",
  summary: "The verifier on this machine, one sample after another",
  capabilities: { capture: true, generate: true },
  open: async ({ loadVerifier }) => new MyEngine(await loadVerifier()),
});

export default plugin;
