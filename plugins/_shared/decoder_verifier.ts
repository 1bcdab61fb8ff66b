/** A decoder model on a backend, whose layers may be of several kinds: the verifier of most families. */
import { ShapeError } from "../../core/errors.ts";
import type {
  CacheOptions,
  ForwardInput,
  ForwardOutput,
  KvCache,
  VerifierInfo,
  VerifierModel,
} from "../../core/plugin.ts";
import type { Backend, Run, Tensor } from "../../core/tensor.ts";
import {
  attentionOp,
  cast,
  gather,
  linear,
  rmsnorm,
  type RopeTables,
  slice,
  steady,
  withSinks,
} from "../../kernels/ops/mod.ts";
import { Images, type ImageTower, type Part, type PassImages } from "./images.ts";
import { inTwoPasses } from "./two_passes.ts";
import type { CachePass } from "./cache_pass.ts";
import { type DecoderContext, decoderLayer, type LayerWeights } from "./decoder.ts";
import { type AttentionSizes, Caches, type LayerCache } from "./kv_cache.ts";
import { packedRanges, windowed } from "./ranges.ts";
import { ropeFrequencies, ropeTables } from "./rope.ts";

/** A layer of a model. */
export interface VerifierLayer {
  /** Its weights. */
  readonly weights: LayerWeights;
  /** Keys that a row sees at most, its own among them; `null` for all. */
  readonly window: number | null;
  /** f32 `[heads]`: one more logit for each head, without a value. */
  readonly sinks?: Tensor;
}

/** Where a model's weights are, and under which names. */
export interface DecoderParts {
  /** Where to compute. */
  readonly backend: Backend;
  /** Every tensor of the checkpoint; the model owns them from now on. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Name of the embedding. */
  readonly embed: string;
  /** Name of the output projection; the embedding's where they are tied. */
  readonly head: string;
  /** Name of the final norm. */
  readonly norm: string;
  /** The part that reads images, from the tensors as the model holds them; it reads none when absent. */
  images?(tensors: ReadonlyMap<string, Tensor>): ImageTower;
  /** Puts a layer together, from the tensors as the model holds them. */
  layer(index: number, tensors: ReadonlyMap<string, Tensor>): VerifierLayer;
}

/** The rows of one pass. */
interface Pass {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  /** i32 `[T, 2]`: what each row sees in layers of a window; where rows go behind caches, these know. */
  readonly ranges: ReadonlyMap<number | null, Tensor>;
  readonly caches: CachePass | null;
  readonly run: Run;
  readonly images: PassImages | null;
}

/** A decoder model. */
export class DecoderVerifier implements VerifierModel {
  readonly info: VerifierInfo;
  readonly backend: Backend;
  readonly #embed: Tensor;
  readonly #head: Tensor;
  readonly #norm: Tensor;
  readonly #layers: readonly VerifierLayer[];
  readonly #tables: RopeTables;
  readonly #images: Images | null;
  readonly #tensors: ReadonlySet<Tensor>;
  /** Caches by their storage. */
  readonly #caches = new Map<"f32" | "bf16", Caches>();

  /** Takes the weights over. Norms, sinks and biases become f32; matrices stay as they are stored. */
  constructor(info: VerifierInfo, weights: DecoderParts) {
    const { backend } = weights;
    this.info = info;
    this.backend = backend;
    const tensors = new Map<string, Tensor>();
    for (const [name, tensor] of weights.tensors) {
      const wide = tensor.shape.length === 1 || name.endsWith("bias")
        ? cast(backend.run, tensor, "f32")
        : tensor;
      if (wide !== tensor) tensor[Symbol.dispose]();
      tensors.set(name, wide);
    }
    this.#embed = tensors.get(weights.embed)!;
    this.#head = tensors.get(weights.head)!;
    this.#norm = tensors.get(weights.norm)!;
    this.#layers = Array.from({ length: info.layers }, (_, index) => weights.layer(index, tensors));
    const turned = { headDim: info.headDim, theta: info.ropeTheta, scaling: info.ropeScaling };
    this.#tables = ropeTables(backend, { ...turned, positions: info.maxPositions });
    const tower = weights.images?.(tensors);
    const frequencies = ropeFrequencies({ ...turned, maxPositions: info.maxPositions });
    this.#images = tower ? new Images(backend, tower, frequencies) : null;
    this.#tensors = new Set(tensors.values());
  }

  cache(capacity: number, { dtype = "f32" }: CacheOptions = {}): KvCache {
    const windows = this.#layers.map(({ window }) => window);
    const caches = this.#caches.get(dtype) ??
      new Caches(this.backend, { ...this.#sizes(), layers: windows.length, windows, dtype });
    this.#caches.set(dtype, caches);
    return caches.open(capacity);
  }

  forward(input: ForwardInput): ForwardOutput {
    const { backend } = this;
    const parted = input.images?.length ? null : inTwoPasses(backend, input, (part) => this.forward(part));
    if (parted) return parted;
    const wanted = this.#wanted(input.capture ?? []);
    using scope = backend.scope();
    const pass = this.#pass(input), { run } = pass;
    const kept = new Map<number, Tensor>();
    let x = gather(run, this.#embed, pass.tokens);
    x = pass.images?.embedded.embed(run, x) ?? x;
    for (const [index, { weights }] of this.#layers.entries()) {
      if (wanted.has(index)) kept.set(index, scope.keep(x));
      const overwrite = !wanted.has(index);
      const own = this.#layer(x, { run, weights, context: this.#context(pass, index), overwrite });
      const next = pass.images?.embedded.after(run, index, own) ?? own;
      if (overwrite && next !== x) x[Symbol.dispose]();
      x = next;
    }
    if (wanted.has(this.info.layers)) kept.set(this.info.layers, scope.keep(x));
    pass.caches?.advance();
    pass.images?.advance();
    const logits = this.#logits(run, x, wantedLogits(input, x.shape[0]!));
    return {
      logits: logits && scope.keep(logits),
      hidden: (input.capture ?? []).map((id) => kept.get(id)!),
    };
  }

  #wanted(capture: readonly number[]): ReadonlySet<number> {
    const { layers } = this.info;
    for (const id of capture) {
      if (!Number.isInteger(id) || id < 0 || id > layers) {
        throw new ShapeError("forward", `expected layer ids from 0 to ${layers}, received ${id}`);
      }
    }
    return new Set(capture);
  }

  #pass(input: ForwardInput): Pass {
    const { backend } = this, { maxPositions } = this.info, { lengths, cache, parents } = input;
    const tokens = input.tokens instanceof Int32Array
      ? backend.from(input.tokens, [input.tokens.length])
      : input.tokens;
    const rows = tokens.shape[0] ?? 0;
    if (rows === 0) throw new ShapeError("forward", "expected at least one token, received none");
    const sequences = input.sequences ?? (cache ? [{ cache, rows }] : null);
    if (sequences && lengths) throw new ShapeError("forward", "expected lengths or a cache, received both");
    if (parents && !sequences) {
      throw new ShapeError("forward", "expected a tree behind a cache, received none");
    }
    const parts = sequences ? sequences.map(({ rows }) => rows) : lengths ?? [rows];
    if (parts.reduce((sum, n) => sum + n, 0) !== rows || (sequences && parts.some((n) => n < 1))) {
      throw new ShapeError("forward", `expected lengths that sum to ${rows}, received ${parts.join(" + ")}`);
    }
    const longest = Math.max(...parts.map((n, i) => n + (sequences ? sequences[i]!.cache.length : 0)));
    if (longest > maxPositions) {
      throw new ShapeError("forward", `expected at most ${maxPositions} positions, received ${longest}`);
    }
    const behind = parts.map((rows, i): Part => ({ rows, cache: sequences?.[i]?.cache ?? null }));
    if (sequences) {
      const caches = this.#owner(sequences[0]!.cache).pass({ sequences, ...(parents ? { parents } : {}) });
      const run = caches.steady ? steady(backend.run) : backend.run;
      const positions = this.#images?.shifted(caches.positions(), behind) ?? caches.positions();
      return {
        tokens,
        positions: backend.from(positions, [rows]),
        ranges: new Map(),
        caches,
        run,
        images: this.#read(run, input, behind),
      };
    }
    const packing = packedRanges(parts), windows = new Set(this.#layers.map(({ window }) => window));
    const seen = (window: number | null) =>
      window === null ? packing.ranges : windowed(packing.ranges, window);
    return {
      tokens,
      positions: backend.from(packing.positions, [rows]),
      ranges: new Map([...windows].map((window) => [window, backend.from(seen(window), [rows, 2])])),
      caches: null,
      run: backend.run,
      images: this.#read(backend.run, input, behind),
    };
  }

  #read(run: Run, { images = [], tokens }: ForwardInput, parts: readonly Part[]): PassImages | null {
    if (images.length === 0) return null;
    if (this.#images) return this.#images.read(run, images, { tokens, parts });
    throw new ShapeError("forward", `expected no images, received ${images.length}`, {
      hint: `Take a model that reads images: ${this.info.architectures.join(", ")} reads text only`,
    });
  }

  /** The caches that a cache is one of. */
  #owner(cache: KvCache): Caches {
    const owner = (cache as Partial<LayerCache>).owner;
    if (owner && [...this.#caches.values()].includes(owner)) return owner;
    throw new ShapeError("forward", "expected a cache of this model, received another");
  }

  #context(pass: Pass, layer: number): DecoderContext {
    const { run } = pass, { window, sinks } = this.#layers[layer]!;
    return {
      headDim: this.info.headDim,
      eps: this.info.rmsNormEps,
      tables: pass.images?.rotation.tables ?? this.#tables,
      positions: pass.images?.rotation.positions ?? pass.positions,
      attend: (q, k, v) => {
        const { out, lse } = pass.caches
          ? pass.caches.attend(run, layer, { q, k, v })
          : this.#attend(run, [q, k, v, pass.ranges.get(window)!]);
        return sinks ? withSinks(run, out, lse, sinks) : out;
      },
    };
  }

  #attend(run: Run, inputs: readonly Tensor[]): { readonly out: Tensor; readonly lse: Tensor } {
    const [out, lse] = run(attentionOp, inputs, this.#sizes()) as [Tensor, Tensor];
    return { out, lse };
  }

  #sizes(): AttentionSizes {
    const { heads, kvHeads, headDim } = this.info;
    return { heads, kvHeads, headDim, scale: headDim ** -0.5 };
  }

  #layer(
    x: Tensor,
    { run, ...layer }: {
      readonly run: Run;
      readonly weights: LayerWeights;
      readonly context: DecoderContext;
      readonly overwrite: boolean;
    },
  ): Tensor {
    using scope = this.backend.scope();
    return scope.keep(decoderLayer(run, x, { ...layer, inPlace: true }));
  }

  /** Logits of some rows, ascending; of all when `null`. */
  #logits(run: Run, x: Tensor, rows: readonly number[] | null): Tensor | null {
    if (rows?.length === 0) return null;
    const [first, count] = [rows?.[0] ?? 0, rows?.length ?? 0];
    const neighbours = rows && rows[count - 1]! - first === count - 1;
    const chosen = !rows
      ? x
      : neighbours
      ? slice(run, x, { axis: 0, start: first, end: first + count })
      : gather(run, x, this.backend.from(Int32Array.from(rows), [count]));
    return linear(run, rmsnorm(run, chosen, this.#norm, this.info.rmsNormEps), this.#head);
  }

  [Symbol.dispose](): void {
    for (const caches of this.#caches.values()) caches[Symbol.dispose]();
    for (const tensor of this.#tensors) tensor[Symbol.dispose]();
    this.#tables.cos[Symbol.dispose]();
    this.#tables.sin[Symbol.dispose]();
  }
}

/** Rows whose logits are asked for, ascending; `null` for all. */
function wantedLogits({ sequences, logits = "all" }: ForwardInput, rows: number): readonly number[] | null {
  let first = 0;
  const found = (sequences ?? [{ rows, logits }]).flatMap(({ rows, logits: own = logits }) => {
    const start = first;
    first += rows;
    if (own === "none") return [];
    return own === "last" ? [first - 1] : Array.from({ length: rows }, (_, i) => start + i);
  });
  return found.length === rows ? null : found;
}
