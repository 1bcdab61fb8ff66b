/** How an MTP draft is trained: on the text's own tokens, several of them behind each row. */
import type { PackedBatch } from "../../core/data/batch.ts";
import { ConfigError } from "../../core/errors.ts";
import type { LossResult, Objective, ObjectiveInput, ObjectiveOptions } from "../../core/plugin.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { attention, gather, linearLoss, total } from "../../kernels/ops/mod.ts";
import type { DecoderContext } from "../_shared/decoder.ts";
import { ExtraOptions } from "../_shared/extra_options.ts";
import { layerRope } from "../_shared/layer_config.ts";
import { placeMetrics } from "../_shared/place_metrics.ts";
import { ropeTables } from "../_shared/rope.ts";
import { unrollRanges } from "../_shared/unroll.ts";
import { stepOutputs } from "../_shared/unroll_metrics.ts";
import { type MtpConfig, mtpLayer, mtpSizes } from "./config.ts";
import { EXTRA } from "./configure.ts";
import { mtpChain, mtpWeights } from "./model.ts";

/** How fast the weight of later steps falls, unless the user says otherwise. */
const BETA = 0.6;

/** Weights of the steps, `β^k / Σ β^j` (FastMTP, arXiv 2509.18362, equation 2). */
export function stepWeights(beta: number, steps: number): number[] {
  const raw = Array.from({ length: steps }, (_, k) => beta ** k), sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((weight) => weight / sum);
}

/** Steps of a draft: the tokens it is to propose in a round. */
export function stepsOf(config: MtpConfig): number {
  const speculators = config["speculators_config"] as
    | { readonly proposal_methods?: readonly { readonly speculative_tokens?: number }[] }
    | undefined;
  const steps = speculators?.proposal_methods?.[0]?.speculative_tokens;
  if (typeof steps === "number" && Number.isInteger(steps) && steps >= 1) return steps;
  throw new ConfigError(
    "speculators_config.proposal_methods",
    `expected a whole number of speculative_tokens, received ${steps}`,
  );
}

/**
 * Rows that have a target at step k: the token of row `r + k + 1`, where it is trained on and of the row's own text.
 */
export function targetRows({ lossMask, documents }: PackedBatch, step: number): number[] {
  const rows: number[] = [];
  for (let row = 0; row + step + 1 < lossMask.length; row++) {
    const target = row + step + 1;
    if (lossMask[target] === 1 && documents[target] === documents[row]) rows.push(row);
  }
  return rows;
}

/**
 * The loss `Σ_k α_k · mean cross-entropy of the text's token at step k`, each step fed the text's token and the state that
 * the step before gave. As many steps as the config's speculative tokens; `step_weight_beta` (β of {@linkcode stepWeights},
 * 0.6) may be set by {@linkcode ObjectiveOptions.extra}, another of its options' losses in the entropy's place. The other
 * options are of drafts that feed on their own output, and mean nothing here.
 *
 * Within a step a row sees the rows of that step before it, as in the Python system; rows of earlier steps are not kept.
 *
 * source: speculators v0.7.0.1, `models/mtp/core.py`
 *
 * @throws {ConfigError} for a setting that is not known; the loss itself throws it when the batch does not fit the draft
 */
export function mtpObjective(config: MtpConfig, options: ObjectiveOptions): Objective {
  const extra = new ExtraOptions(options.extra, EXTRA), { loss: terms } = options;
  const alphas = stepWeights(extra.positive("step_weight_beta", BETA), stepsOf(config));
  return {
    loss(
      run: Run,
      { backend, tensors, batch, gradients, part = (work) => work(run) }: ObjectiveInput,
    ): LossResult {
      checkBatch(config, batch);
      const w = mtpWeights(run, config, tensors), chain = mtpChain(config, w);
      const ids = (data: Int32Array) => backend.from(data, [data.length]);
      const context = stepContext(config, { backend, batch });
      const length = batch.tokens.length, places = alphas.map((_, step) => targetRows(batch, step));
      const losses: Tensor[] = [], outputs: Record<string, Tensor> = {};
      let hidden = chain.enter(run, backend.from(batch.hidden, [length, batch.auxWidth]));
      for (const [step, alpha] of alphas.entries()) {
        const fed = ids(Int32Array.from(batch.tokens, (_, row) => batch.tokens[row + step] ?? 0)),
          before = hidden;
        [hidden] = part((run) => [
          chain.pass(run, { ids: fed, hidden: before, context: () => context(run) }),
        ]) as [Tensor];
        const rows = places[step]!, weight = alpha / Math.max(rows.length, 1);
        const found = linearLoss(run, {
          hidden: gather(run, hidden, ids(Int32Array.from(rows))),
          head: w.head,
          weights: backend.from(new Float32Array(rows.length).fill(weight), [rows.length]),
          goal: { labels: ids(Int32Array.from(rows, (row) => batch.tokens[row + step + 1]!)) },
        }, { gradients, frozenHead: true, ...(terms ? { terms } : {}) });
        losses.push(found.loss);
        Object.assign(outputs, stepOutputs(step, found));
      }
      const loss = total(run, losses);
      return {
        loss,
        outputs: { ...outputs, loss },
        metrics: (found) => placeMetrics({ places, ...(terms ? { terms } : {}) }, found),
      };
    },
  };
}

/** Rotation and attention of every step, for whichever runs it: rows of a text see those before them and themselves. */
export function stepContext(
  config: MtpConfig,
  { backend, batch }: Pick<ObjectiveInput, "backend" | "batch">,
): (run: Run) => DecoderContext {
  const { heads, kvHeads, headDim, eps } = mtpSizes(config), length = batch.tokens.length;
  const rope = layerRope(mtpLayer(config)),
    longest = batch.positions.reduce((most, p) => Math.max(most, p), 1);
  const tables = ropeTables(backend, {
    ...rope,
    headDim,
    positions: longest,
    maxPositions: rope.maxPositions ?? longest,
  });
  const ranges = backend.from(unrollRanges(batch.documents), [length, 2]);
  const positions = backend.from(batch.positions.map((p) => Math.max(p - 1, 0)), [length]);
  return (run) => ({
    headDim,
    eps,
    tables,
    positions,
    attend: (q, k, v) =>
      attention(run, { q, k, v, ranges }, { heads, kvHeads, headDim, scale: headDim ** -0.5 }),
  });
}

function checkBatch(config: MtpConfig, batch: PackedBatch): void {
  const { hidden } = mtpSizes(config);
  if (batch.width === hidden && batch.auxWidth === hidden) return;
  throw new ConfigError(
    "batch",
    `expected the last state of width ${hidden} twice, received ${batch.auxWidth} and ${batch.width} entries a row`,
    { hint: "Make the samples with datagen for this verifier; those for eagle3 drafts fit too" },
  );
}
