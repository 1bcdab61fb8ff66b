/** A decoder model on a backend, whose layers may be of several kinds: the verifier of most families. */
import { ShapeError } from "../../core/errors.ts";
import type { ForwardInput, ForwardOutput, KvCache, VerifierInfo, VerifierModel } from "../../core/plugin.ts";
import type { Backend, Tensor } from "../../core/tensor.ts";
import { attention, cast, gather, linear, rmsnorm, type RopeTables, slice } from "../../kernels/ops/mod.ts";
import { type DecoderContext, decoderLayer, type LayerWeights } from "./decoder.ts";
import { LayerCache } from "./kv_cache.ts";
import { packedRanges, windowed } from "./ranges.ts";
import { ropeTables } from "./rope.ts";

/** A layer of a model. */
export interface VerifierLayer {
  /** Its weights. */
  readonly weights: LayerWeights;
  /** Keys that a row sees at most, its own among them; `null` for all. */
  readonly window: number | null;
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
  /** Puts a layer together, from the tensors as the model holds them. */
  layer(index: number, tensors: ReadonlyMap<string, Tensor>): VerifierLayer;
}

/** The rows of one pass. */
interface Pass {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  /** i32 `[T, 2]`: what each row sees in layers of a window. */
  readonly ranges: ReadonlyMap<number | null, Tensor>;
  readonly cache: LayerCache | null;
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
  readonly #tensors: ReadonlySet<Tensor>;

  /** Takes the weights over. Norms and biases become f32; matrices stay as they are stored. */
  constructor(info: VerifierInfo, weights: DecoderParts) {
    const { backend } = weights;
    this.info = info;
    this.backend = backend;
    const tensors = new Map<string, Tensor>();
    for (const [name, tensor] of weights.tensors) {
      const wide = tensor.shape.length === 1 ? cast(backend.run, tensor, "f32") : tensor;
      if (wide !== tensor) tensor[Symbol.dispose]();
      tensors.set(name, wide);
    }
    this.#embed = tensors.get(weights.embed)!;
    this.#head = tensors.get(weights.head)!;
    this.#norm = tensors.get(weights.norm)!;
    this.#layers = Array.from({ length: info.layers }, (_, index) => weights.layer(index, tensors));
    this.#tables = ropeTables(backend, {
      headDim: info.headDim,
      theta: info.ropeTheta,
      scaling: info.ropeScaling,
      positions: info.maxPositions,
    });
    this.#tensors = new Set(tensors.values());
  }

  cache(capacity: number): KvCache {
    const { layers, kvHeads, headDim } = this.info;
    return new LayerCache(this.backend, { layers, capacity, width: kvHeads * headDim });
  }

  forward(input: ForwardInput): ForwardOutput {
    const { backend } = this, { run } = backend;
    const wanted = this.#wanted(input.capture ?? []);
    using scope = backend.scope();
    const pass = this.#pass(input);
    const kept = new Map<number, Tensor>();
    let x = gather(run, this.#embed, pass.tokens);
    for (const [index, { weights }] of this.#layers.entries()) {
      if (wanted.has(index)) kept.set(index, scope.keep(x));
      const overwrite = !wanted.has(index);
      const next = this.#layer(x, { weights, context: this.#context(pass, index), overwrite });
      if (overwrite && next !== x) x[Symbol.dispose]();
      x = next;
    }
    if (wanted.has(this.info.layers)) kept.set(this.info.layers, scope.keep(x));
    pass.cache?.advance(pass.tokens.shape[0]!);
    const logits = this.#logits(x, input.logits ?? "all");
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
    const { backend } = this, { maxPositions } = this.info, { lengths } = input;
    const cache = (input.cache as LayerCache | undefined) ?? null;
    const tokens = input.tokens instanceof Int32Array
      ? backend.from(input.tokens, [input.tokens.length])
      : input.tokens;
    const rows = tokens.shape[0] ?? 0;
    if (rows === 0) throw new ShapeError("forward", "expected at least one token, received none");
    if (cache && lengths) throw new ShapeError("forward", "expected lengths or a cache, received both");
    if (lengths && lengths.reduce((sum, n) => sum + n, 0) !== rows) {
      throw new ShapeError(
        "forward",
        `expected lengths that sum to ${rows}, received ${lengths.join(" + ")}`,
      );
    }
    cache?.reserve(rows);
    const longest = cache ? cache.length + rows : lengths ? Math.max(...lengths) : rows;
    if (longest > maxPositions) {
      throw new ShapeError("forward", `expected at most ${maxPositions} positions, received ${longest}`);
    }
    const packing = cache ? cache.next(rows) : packedRanges(lengths ?? [rows]);
    const windows = new Set(this.#layers.map(({ window }) => window));
    const seen = (window: number | null) =>
      window === null ? packing.ranges : windowed(packing.ranges, window);
    return {
      tokens,
      positions: backend.from(packing.positions, [rows]),
      ranges: new Map([...windows].map((window) => [window, backend.from(seen(window), [rows, 2])])),
      cache,
    };
  }

  #context(pass: Pass, layer: number): DecoderContext {
    const { heads, kvHeads, headDim, rmsNormEps } = this.info, { run } = this.backend;
    const ranges = pass.ranges.get(this.#layers[layer]!.window)!;
    return {
      headDim,
      eps: rmsNormEps,
      tables: this.#tables,
      positions: pass.positions,
      attend: (q, k, v) => {
        const keys = pass.cache ? pass.cache.append(layer, k, v) : { k, v };
        return attention(run, { q, ...keys, ranges }, {
          heads,
          kvHeads,
          headDim,
          scale: headDim ** -0.5,
        });
      },
    };
  }

  #layer(
    x: Tensor,
    layer: {
      readonly weights: LayerWeights;
      readonly context: DecoderContext;
      readonly overwrite: boolean;
    },
  ): Tensor {
    using scope = this.backend.scope();
    return scope.keep(decoderLayer(this.backend.run, x, { ...layer, inPlace: true }));
  }

  #logits(x: Tensor, rows: "all" | "last" | "none"): Tensor | null {
    if (rows === "none") return null;
    const { run } = this.backend, end = x.shape[0]!;
    const chosen = rows === "all" || end === 1 ? x : slice(run, x, { axis: 0, start: end - 1, end });
    return linear(run, rmsnorm(run, chosen, this.#norm, this.info.rmsNormEps), this.#head);
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#tensors) tensor[Symbol.dispose]();
    this.#tables.cos[Symbol.dispose]();
    this.#tables.sin[Symbol.dispose]();
  }
}
