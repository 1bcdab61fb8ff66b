/** The code of the MTP plugin, as the core calls it. */
import type { DraftAlgorithm } from "../../core/plugin.ts";
import { chainProposer } from "../_shared/chain_proposer.ts";
import { type MtpConfig, mtpSchema } from "./config.ts";
import { configureMtp, mtpNeeds } from "./configure.ts";
import { fromVerifier } from "./convert.ts";
import { toVerifier } from "./convert_back.ts";
import { initialiseMtp, mtpTensors } from "./initialise.ts";
import { mtpChain, mtpWeights } from "./model.ts";
import { mtpObjective } from "./objective.ts";
import { mtpServingProblems } from "./serving.ts";

/** MTP, trained as FastMTP (arXiv 2509.18362). */
export const mtp: DraftAlgorithm<MtpConfig> = {
  schema: mtpSchema,
  configure: configureMtp,
  needs: mtpNeeds,
  tensors: mtpTensors,
  initialise: initialiseMtp,
  objective: mtpObjective,
  proposer: (config, { backend, tensors }, options) =>
    chainProposer(backend, { make: (run) => mtpChain(config, mtpWeights(run, config, tensors)), options }),
  converters: () => [fromVerifier, toVerifier],
  servingProblems: mtpServingProblems,
};
