/**
 * How drafts of features are trained: regression of the feature and classification of the token that the verifier's head
 * reads from it, over one step (EAGLE) or over harmonised steps (HASS).
 */
import type { PackedBatch } from "../../../core/data/batch.ts";
import { ConfigError } from "../../../core/errors.ts";
import type {
  LossResult,
  LossTerm,
  Objective,
  ObjectiveInput,
  ObjectiveOptions,
} from "../../../core/plugin.ts";
import { add, gather, linearLoss, total, type WeightedLoss, withAttrs } from "../../../kernels/ops/mod.ts";
import { layerSizes } from "../layer_config.ts";
import { draftingRows, trueTokens, Unroll } from "../unroll.ts";
import { rowWeights, stepOutputs, unrolledMetrics } from "../unroll_metrics.ts";
import type { EagleConfig } from "./config.ts";
import { crossEntropyRowsOp } from "./cross_entropy.ts";
import { eagleChain, eagleWeights, headInput, verifierFeatures } from "./model.ts";
import { smoothL1 } from "./smooth_l1.ts";

/** What tells one objective from another. The feature's regression has the factor 1 in all. */
export interface FeatureLoss {
  /** Which steps are trained: the first alone, or each, on the draft's own features of the step before. */
  readonly steps: "first" | "all";
  /** Factor of the cross-entropy over all tokens. */
  readonly all: number;
  /** Factor of the cross-entropy over the verifier's likeliest tokens. */
  readonly top: number;
  /** How many those are. */
  readonly count: number;
}

/**
 * The loss `Σ_s decay^s · mean over rows of (smooth L1 of the feature + all · CE + top · CE of the likeliest)`, where other
 * losses, if the options name some, stand in the place of both CE with the factor `all`. Later
 * steps are fed the true tokens, as the feature they are to give is that of the true text. Where only the first step is
 * trained, the others are still worked when no gradients are wanted: their metrics tell how the draft does on its own
 * features.
 *
 * @throws {ConfigError} when there is no step; the loss itself throws it when the batch does not fit the draft
 */
export function featureObjective(
  config: EagleConfig,
  options: ObjectiveOptions,
  recipe: FeatureLoss,
): Objective {
  const { tttSteps, tttStepLossDecay: decay, loss: chosen } = options;
  if (!Number.isInteger(tttSteps) || tttSteps < 1) {
    throw new ConfigError("ttt-steps", `expected a whole number from 1 on, received ${tttSteps}`);
  }
  const terms = termsOf(recipe, chosen);
  const trained = recipe.steps === "first" ? 1 : tttSteps;
  return {
    loss(run, { backend, tensors, batch, gradients, part }: ObjectiveInput): LossResult {
      checkBatch(config, batch);
      const steps = gradients ? trained : tttSteps, { lossMask, documents } = batch;
      const rows = draftingRows(lossMask, steps), weights = eagleWeights(run, config, tensors);
      const unroll = new Unroll(run, eagleChain(config, weights), batch, { backend, steps, rows, part });
      const ids = (data: Int32Array) => backend.from(data, [data.length]);
      const last = backend.from(batch.last, [batch.tokens.length, batch.width]);
      const goals = verifierFeatures(run, weights, last);
      const losses = [], outputs: Record<string, ReturnType<typeof ids>> = {};
      for (let step = 0; step < steps; step++) {
        const features = unroll.next(ids(step === 0 ? batch.tokens : trueTokens(batch, rows, step)));
        const target = gather(run, goals, ids(rows.map((row) => row + step)));
        const share = rowWeights({ lossMask, rows, documents }, { step, factor: decay ** step });
        const shares = backend.from(share, [rows.length]);
        const found = linearLoss(run, {
          hidden: headInput(run, weights, features),
          head: weights.head,
          weights: shares,
          goal: { states: target, head: weights.head },
        }, { terms, gradients, frozenHead: true });
        const loss = add(run, smoothL1(run, { x: features, target, weights: shares }), found.loss);
        if (step < trained) losses.push(loss);
        Object.assign(outputs, stepOutputs(step, { ...found, loss }));
      }
      const loss = total(run, losses);
      return {
        loss,
        outputs: { ...outputs, loss },
        metrics: (found) =>
          unrolledMetrics({ lossMask, rows, steps, documents, ...(chosen ? { terms: chosen } : {}) }, found),
      };
    },
  };
}

/** What is trained beside the feature's regression: the recipe's, or others at the factor of its cross-entropy. */
function termsOf({ all, top, count }: FeatureLoss, chosen?: readonly LossTerm[]): readonly WeightedLoss[] {
  if (!chosen) return [{ weight: 1, rows: withAttrs(crossEntropyRowsOp, { all, top, count }) }];
  return chosen.map(({ weight, rows }) => ({ weight: all * weight, rows }));
}

function checkBatch(config: EagleConfig, batch: PackedBatch): void {
  const { hidden } = layerSizes(config.transformer_layer_config);
  if (batch.width === hidden && batch.auxWidth === hidden) return;
  throw new ConfigError(
    "batch",
    `expected the last state of width ${hidden} twice, received ${batch.auxWidth} and ${batch.width} entries a row`,
    { hint: "Make the samples with datagen for this verifier; those for eagle3 drafts fit too" },
  );
}
