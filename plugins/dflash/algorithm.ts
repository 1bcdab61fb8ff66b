/** The code of the DFlash plugin, as the core calls it. */
import type { DraftAlgorithm } from "../../core/plugin.ts";
import { type DFlashConfig, dflashSchema } from "./config.ts";
import { configureDFlash, dflashNeeds } from "./configure.ts";
import { fromAuthors, toAuthors } from "./convert.ts";
import { dflashTensors, initialiseDFlash } from "./initialise.ts";
import { dflashObjective } from "./objective.ts";
import { blockProposer } from "./proposer.ts";
import { dflashServingProblems } from "./serving.ts";

/** DFlash (arXiv 2602.06036). */
export const dflash: DraftAlgorithm<DFlashConfig> = {
  schema: dflashSchema,
  configure: configureDFlash,
  needs: dflashNeeds,
  tensors: dflashTensors,
  initialise: initialiseDFlash,
  objective: dflashObjective,
  proposer: blockProposer,
  converters: () => [fromAuthors, toAuthors],
  servingProblems: dflashServingProblems,
};
