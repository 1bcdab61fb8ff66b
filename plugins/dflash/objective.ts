/** How a DFlash draft is trained: distillation at all places of blocks behind anchors drawn from the text. */
import type { PackedBatch } from "../../core/data/batch.ts";
import { ConfigError } from "../../core/errors.ts";
import type { LossResult, Objective, ObjectiveInput, ObjectiveOptions } from "../../core/plugin.ts";
import type { Part } from "../../core/tape.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { cast, gather, linearLoss, rmsnorm, total } from "../../kernels/ops/mod.ts";
import type { DecoderContext } from "../_shared/decoder.ts";
import { ExtraOptions } from "../_shared/extra_options.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { ropeTables } from "../_shared/rope.ts";
import { DENOMINATOR_EPS, stepOutputs } from "../_shared/unroll_metrics.ts";
import { anchorCandidates, blockRanges, type ChooseAnchors, drawAnchors, hasTarget } from "./anchors.ts";
import { blockAttention } from "./attention.ts";
import { type DFlashConfig, dflashSizes } from "./config.ts";
import { EXTRA } from "./configure.ts";
import { blockMetrics } from "./metrics.ts";
import {
  blockStates,
  contextKeys,
  contextOf,
  type DFlashWeights,
  dflashWeights,
  finalNorm,
} from "./model.ts";

/** Most anchors of a batch, and how fast the weight of later places falls, unless the user says otherwise. */
const MAX_ANCHORS = 3072, GAMMA = 4;

/**
 * The loss `Σ_k e^(−k/γ) Σ KL(verifier ‖ draft at place k) / targets` over the draft vocabulary, k from 0 at the first place
 * that gives a token. `max_anchors` (3072) and `dflash_decay_gamma` (γ, 4) may be set by {@linkcode ObjectiveOptions.extra}.
 * Another of its options' losses may stand in the divergence's place. The other options are of drafts that feed on their own output, and mean nothing here.
 *
 * source: speculators v0.7.0.1, `models/dflash/core.py`, `models/dflash/metrics.py`, `models/metrics.py`
 *
 * @param choose the anchors of a batch; drawn at random when absent
 * @throws {ConfigError} for a setting that is not known; the loss itself throws it when the batch does not fit the draft
 */
export function dflashObjective(
  config: DFlashConfig,
  options: ObjectiveOptions,
  choose?: ChooseAnchors,
): Objective {
  const extra = new ExtraOptions(options.extra, EXTRA), gamma = extra.positive("dflash_decay_gamma", GAMMA);
  const most = extra.whole("max_anchors", MAX_ANCHORS, { least: 1, most: 2 ** 20 });
  const { block, first, eps } = dflashSizes(config), chosen = choose ?? drawAnchors(most);
  const { loss: terms } = options;
  return {
    loss(run: Run, { backend, tensors, batch, gradients, part }: ObjectiveInput): LossResult {
      checkBatch(config, batch);
      const w = dflashWeights(run, config, tensors);
      const anchors = chosen(anchorCandidates(batch, { block, first }), batch);
      const ids = (data: Int32Array) => backend.from(data, [data.length]);
      const states = finalNorm(run, w, trainBlocks(run, { config, w, anchors }, { backend, batch, part }));
      const { norm, head } = verifierHead(run, tensors);
      const last = backend.from(batch.last, [batch.tokens.length, batch.width]);
      const places = Array.from(
        { length: block - first },
        (_, i) => Array.from(anchors.keys()).filter((at) => hasTarget(batch, anchors[at]!, first + i)),
      );
      const targets = places.reduce((sum, rows) => sum + rows.length, 0);
      const losses: Tensor[] = [], outputs: Record<string, Tensor> = {};
      for (const [k, blocks] of places.entries()) {
        const place = first + k, weight = Math.exp(-k / gamma) / (targets + DENOMINATOR_EPS);
        const drafted = Int32Array.from(blocks, (at) => at * block + place);
        // The state that gives the token of a row lies in the row before it.
        const given = Int32Array.from(blocks, (at) => anchors[at]! + place - first);
        const found = linearLoss(run, {
          hidden: gather(run, states, ids(drafted)),
          head: w.head,
          weights: backend.from(new Float32Array(blocks.length).fill(weight), [blocks.length]),
          goal: { states: rmsnorm(run, gather(run, last, ids(given)), norm, eps), head },
        }, { gradients, frozenHead: true, ...(terms ? { terms } : {}) });
        losses.push(found.loss);
        Object.assign(outputs, stepOutputs(k, found));
      }
      const loss = total(run, losses);
      return {
        loss,
        outputs: { ...outputs, loss },
        metrics: (found) => blockMetrics({ places, first, ...(terms ? { terms } : {}) }, found),
      };
    },
  };
}

/** All rows of the blocks behind some anchors, f32 `[anchors·block, H]`. */
export function trainBlocks(
  run: Run,
  { config, w, anchors }: {
    readonly config: DFlashConfig;
    readonly w: DFlashWeights;
    readonly anchors: Int32Array;
  },
  { backend, batch, part }: Pick<ObjectiveInput, "backend" | "batch"> & { readonly part?: Part | undefined },
): Tensor {
  const { block, eps, heads, kvHeads, headDim, sight } = w.sizes, rows = anchors.length * block;
  const tokens = new Int32Array(rows).fill(config.mask_token_id), positions = new Int32Array(rows);
  for (const [i, anchor] of anchors.entries()) {
    tokens[i * block] = batch.tokens[anchor]!;
    for (let place = 0; place < block; place++) {
      positions[i * block + place] = batch.positions[anchor]! + place;
    }
  }
  const length = batch.tokens.length, spec = layerRope(config.transformer_layer_config);
  const longest = batch.positions.reduce((most, p) => Math.max(most, p), 0) + block;
  const tables = ropeTables(backend, {
    ...spec,
    headDim,
    positions: longest,
    maxPositions: spec.maxPositions ?? longest,
  });
  // A row's state has seen the token before the row's own.
  const before = backend.from(batch.positions.map((p) => Math.max(p - 1, 0)), [length]);
  const at = backend.from(positions, [rows]);
  const context = contextOf(run, w, backend.from(batch.hidden, [length, batch.auxWidth]));
  const ranges = sight.map((layer) => {
    const { context, own } = blockRanges(batch, { anchors, block }, layer);
    return { context: backend.from(context, [rows, 2]), own: backend.from(own, [rows, 2]) };
  });
  return blockStates(run, { w, ids: backend.from(tokens, [rows]) }, {
    part,
    context: (layer, run): DecoderContext => ({
      headDim,
      eps,
      tables,
      positions: at,
      attend: (q, k, v) =>
        blockAttention(run, {
          q,
          context: {
            ...contextKeys(run, { w, layer, context }, { tables, positions: before }),
            ranges: ranges[layer]!.context,
          },
          block: { k, v, ranges: ranges[layer]!.own },
        }, { heads, kvHeads, headDim, scale: headDim ** -0.5 }),
    }),
  });
}

/** The verifier's final norm, and the rows of its head that the draft vocabulary keeps. */
function verifierHead(run: Run, tensors: ReadonlyMap<string, Tensor>): { norm: Tensor; head: Tensor } {
  const norm = tensors.get("verifier_norm.weight"), head = tensors.get("verifier_lm_head.weight");
  if (!norm || !head) {
    throw new ConfigError("verifier_lm_head.weight", "expected the verifier's head and norm, received none");
  }
  return { norm: cast(run, norm, "f32"), head };
}

function checkBatch(config: DFlashConfig, batch: PackedBatch): void {
  const { states, target } = dflashSizes(config);
  if (batch.width === target && batch.auxWidth === states * target) return;
  throw new ConfigError(
    "batch",
    `expected ${states} states of width ${target} and the last one, received ${batch.auxWidth} and ${batch.width} ` +
      "entries a row",
    { hint: "Check that the data was made with the layers that the draft reads" },
  );
}
