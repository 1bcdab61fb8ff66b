/** How an Eagle-3 draft is trained: distillation over unrolled steps. */
import type { PackedBatch } from "../../core/data/batch.ts";
import { ConfigError } from "../../core/errors.ts";
import type { LossResult, Objective, ObjectiveInput, ObjectiveOptions } from "../../core/plugin.ts";
import type { Run, Tensor } from "../../core/tensor.ts";
import { cast, gather, linearLoss, rmsnorm, total } from "../../kernels/ops/mod.ts";
import { type Eagle3Config, eagle3Sizes } from "./config.ts";
import { draftingRows, trueTokens, Unroll } from "../_shared/unroll.ts";
import { rowWeights, stepOutputs, unrolledMetrics } from "../_shared/unroll_metrics.ts";
import { eagle3Chain, eagle3Weights, finalNorm } from "./model.ts";
import { verifierIds } from "../_shared/verifier_ids.ts";

/**
 * The loss `Σ_s decay^s · mean KL(verifier ‖ draft at step s)` over the draft vocabulary, or another of its options'
 * losses in the divergence's place.
 *
 * @throws {ConfigError} when there is no step; the loss itself throws it when the batch does not fit the draft
 */
export function eagle3Objective(config: Eagle3Config, options: ObjectiveOptions): Objective {
  const { tttSteps: steps, tttStepLossDecay: decay, useOffPolicyTokens, loss: terms } = options;
  if (!Number.isInteger(steps) || steps < 1) {
    throw new ConfigError("ttt-steps", `expected a whole number from 1 on, received ${steps}`);
  }
  return {
    loss(run: Run, { backend, tensors, batch, gradients, part }: ObjectiveInput): LossResult {
      checkBatch(config, batch);
      const weights = eagle3Weights(run, config, tensors);
      const rows = draftingRows(batch.lossMask, steps);
      const unroll = new Unroll(run, eagle3Chain(config, weights), batch, { backend, steps, rows, part });
      const targets = verifierStates(run, { config, backend, tensors }, batch);
      const losses: Tensor[] = [], outputs: Record<string, Tensor> = {};
      const ids = (data: Int32Array) => backend.from(data, [data.length]);
      let fed = ids(batch.tokens);
      for (let step = 0; step < steps; step++) {
        const hidden = unroll.next(fed);
        const share = rowWeights({ lossMask: batch.lossMask, rows }, { step, factor: decay ** step });
        const found = linearLoss(run, {
          hidden: finalNorm(run, weights, hidden),
          head: weights.head,
          weights: backend.from(share, [rows.length]),
          goal: {
            states: gather(run, targets.states, ids(rows.map((row) => row + step))),
            head: targets.head,
          },
        }, { gradients, ...(terms ? { terms } : {}) });
        losses.push(found.loss);
        Object.assign(outputs, stepOutputs(step, found));
        if (step + 1 < steps) {
          fed = useOffPolicyTokens
            ? ids(trueTokens(batch, rows, step + 1))
            : verifierIds(run, found.draftIds, weights.d2t);
        }
      }
      const loss = total(run, losses);
      const { lossMask } = batch;
      return {
        loss,
        outputs: { ...outputs, loss },
        metrics: (found) => unrolledMetrics({ lossMask, rows, steps, ...(terms ? { terms } : {}) }, found),
      };
    },
  };
}

/** The verifier's last states, normed, and the rows of its head that the draft vocabulary keeps. */
function verifierStates(
  run: Run,
  { config, backend, tensors }: { config: Eagle3Config } & Pick<ObjectiveInput, "backend" | "tensors">,
  batch: PackedBatch,
): { readonly states: Tensor; readonly head: Tensor } {
  const norm = tensors.get("verifier_norm.weight"), head = tensors.get("verifier_lm_head.weight");
  if (!norm || !head) {
    throw new ConfigError("verifier_lm_head.weight", "expected the verifier's head and norm, received none");
  }
  const last = backend.from(batch.last, [batch.tokens.length, batch.width]);
  return { states: rmsnorm(run, last, cast(run, norm, "f32"), eagle3Sizes(config).eps), head };
}

function checkBatch(config: Eagle3Config, batch: PackedBatch): void {
  const { states, target } = eagle3Sizes(config);
  if (batch.width === target && batch.auxWidth === states * target) return;
  throw new ConfigError(
    "batch",
    `expected ${states} states of width ${target} and the last one, received ${batch.auxWidth} and ${batch.width} ` +
      "entries a row",
    { hint: "Check that the data was made with the layers that the draft reads" },
  );
}
