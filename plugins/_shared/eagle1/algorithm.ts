/** A plugin's code for a draft in the `eagle` format. */
import type { DraftAlgorithm } from "../../../core/plugin.ts";
import { chainProposer } from "../chain_proposer.ts";
import { type EagleConfig, eagleSchema } from "./config.ts";
import { eagleConverters } from "./convert.ts";
import { configureEagle, type EagleDefaults, eagleNeeds } from "./configure.ts";
import { eagleTensors, initialiseEagle } from "./initialise.ts";
import { eagleChain, eagleWeights } from "./model.ts";
import { type FeatureLoss, featureObjective } from "./objective.ts";

/** The algorithm with the given defaults and objective; everything else is the same for all. */
export function eagleAlgorithm(
  { defaults, loss }: { readonly defaults: EagleDefaults; readonly loss: FeatureLoss },
): DraftAlgorithm<EagleConfig> {
  return {
    schema: eagleSchema,
    configure: (verifier, options) => configureEagle(verifier, options, defaults),
    needs: eagleNeeds,
    tensors: eagleTensors,
    initialise: initialiseEagle,
    objective: (config, options) => featureObjective(config, options, loss),
    proposer: (config, { backend, tensors }, options) =>
      chainProposer(backend, {
        make: (run) => eagleChain(config, eagleWeights(run, config, tensors)),
        options,
      }),
    converters: eagleConverters,
  };
}
