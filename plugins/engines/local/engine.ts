/** The engine on a verifier that is loaded here. */
import { ConfigError } from "../../../core/errors.ts";
import { decode } from "../../../core/decode/decode.ts";
import type {
  CaptureOptions,
  Engine,
  EngineOptions,
  GenerateRequest,
  ImagePatches,
  VerifierInfo,
  VerifierModel,
} from "../../../core/plugin.ts";
import type { HostTensor } from "../../../core/tensor.ts";
import * as ops from "../../../kernels/ops/mod.ts";
import { tokenBatches } from "./batches.ts";

/** Tokens in one pass of a capture: enough to fill the kernels, little enough that a pass stays small in memory. */
const BATCH_TOKENS = 2048;

/** A sample in a pass. */
interface Document {
  readonly tokens: Int32Array;
  readonly images: readonly ImagePatches[];
}

/** Loads the verifier and opens the engine on it. */
export async function openLocalEngine(options: EngineOptions): Promise<Engine> {
  return new LocalEngine(await options.loadVerifier());
}

/** Works on a loaded verifier, which it owns. */
export class LocalEngine implements Engine {
  readonly #model: VerifierModel;

  /** Takes the model over. */
  constructor(model: VerifierModel) {
    this.#model = model;
  }

  /** What the verifier is. */
  get info(): VerifierInfo {
    return this.#model.info;
  }

  async capture(
    samples: readonly Int32Array[],
    layers: readonly number[],
    { images = [] }: CaptureOptions = {},
  ): Promise<HostTensor[][]> {
    samples.forEach((tokens, i) => this.#checkTokens(tokens, `sample ${i}`));
    const found: HostTensor[][] = samples.map(() => []);
    for (const batch of tokenBatches(samples.map(({ length }) => length), BATCH_TOKENS)) {
      const documents = batch.map((index) => ({ tokens: samples[index]!, images: images[index] ?? [] }));
      const states = await this.#states(documents, layers);
      batch.forEach((index, place) => found[index] = states[place]!);
    }
    return found;
  }

  async generate(request: GenerateRequest): Promise<Int32Array> {
    const { tokens, maxTokens, temperature = 0, eosTokenIds } = request;
    this.#checkTokens(tokens, "prompt");
    const found: number[] = [];
    const rounds = decode(this.#model, tokens, {
      ops,
      maxTokens,
      ...(temperature > 0 ? { sampling: { temperature }, uniform: Math.random } : {}),
      ...(eosTokenIds ? { eosTokenIds } : {}),
    });
    for await (const round of rounds) found.push(...round.tokens);
    return Int32Array.from(found);
  }

  /** One pass over documents laid one after the other, one synchronisation: per document, per layer. */
  async #states(documents: readonly Document[], layers: readonly number[]): Promise<HostTensor[][]> {
    const { backend, info: { hiddenSize } } = this.#model;
    const lengths = documents.map(({ tokens }) => tokens.length);
    const images = documents.flatMap(({ images }) => images);
    const tokens = new Int32Array(lengths.reduce((sum, n) => sum + n, 0));
    let at = 0;
    for (const document of documents) {
      tokens.set(document.tokens, at);
      at += document.tokens.length;
    }
    using _scope = backend.scope();
    const shown = images.length > 0 ? { images } : {};
    const { hidden } = this.#model.forward({ tokens, lengths, ...shown, capture: layers, logits: "none" });
    const read = await backend.readAll(hidden);
    let start = 0;
    return lengths.map((length) => {
      const from = start;
      start += length;
      return read.map((states): HostTensor => ({
        shape: [length, hiddenSize],
        dtype: "f32",
        bytes: new Uint8Array((states as Float32Array).slice(from * hiddenSize, start * hiddenSize).buffer),
      }));
    });
  }

  #checkTokens(tokens: Int32Array, what: string): void {
    const { vocabSize, maxPositions } = this.info;
    if (tokens.length === 0 || tokens.length > maxPositions) {
      throw new ConfigError(what, `expected 1 to ${maxPositions} tokens, received ${tokens.length}`);
    }
    const bad = tokens.find((id) => id < 0 || id >= vocabSize);
    if (bad !== undefined) {
      throw new ConfigError(what, `expected token ids from 0 to ${vocabSize - 1}, received ${bad}`);
    }
  }

  [Symbol.dispose](): void {
    this.#model[Symbol.dispose]();
  }
}
