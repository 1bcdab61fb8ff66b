/** The code of the Eagle-3 plugin, as the core calls it. */
import type { DraftAlgorithm } from "../../core/plugin.ts";
import { type Eagle3Config, eagle3Schema } from "./config.ts";
import { fromResearch } from "./convert.ts";
import { toResearch } from "./convert_back.ts";
import { configureEagle3, eagle3Needs } from "./configure.ts";
import { eagle3Tensors, initialiseEagle3 } from "./initialise.ts";
import { eagle3Objective } from "./objective.ts";
import { chainProposer } from "../_shared/chain_proposer.ts";
import { eagle3Chain, eagle3Weights } from "./model.ts";
import { eagle3ServingProblems } from "./serving.ts";

/** Eagle-3 (Li et al. 2025, arXiv 2503.01840). */
export const eagle3: DraftAlgorithm<Eagle3Config> = {
  schema: eagle3Schema,
  configure: configureEagle3,
  needs: eagle3Needs,
  tensors: eagle3Tensors,
  initialise: initialiseEagle3,
  objective: eagle3Objective,
  proposer: (config, { backend, tensors }, options) =>
    chainProposer(backend, {
      make: (run) => eagle3Chain(config, eagle3Weights(run, config, tensors)),
      options,
    }),
  converters: () => [fromResearch, toResearch],
  servingProblems: eagle3ServingProblems,
};
