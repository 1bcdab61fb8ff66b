/** Rows with three positions: time, height, width (Wang et al. 2024, arXiv 2409.12191, 2.1). */
import type { VerifierInfo } from "../../core/plugin.ts";
import { ConfigFields } from "./verifier_config.ts";

/** How many rotary frequencies turn with each position. */
export type MropeSections = readonly [time: number, height: number, width: number];

/**
 * Reads the sections.
 *
 * @returns them, and the fields of `rope_scaling`
 * @throws {ConfigError} when they are not three that sum to the number of frequencies
 */
export function mropeSections(
  info: VerifierInfo,
): { readonly sections: MropeSections; readonly fields: ConfigFields } {
  const fields = new ConfigFields(info.ropeScaling ?? {}, `${info.nameOrPath}: rope_scaling`);
  const half = info.headDim / 2, sections = fields.layers("mrope_section", 3);
  if (sections.length !== 3 || sections.reduce((sum, n) => sum + n, 0) !== half) {
    throw fields.refuse("mrope_section", `three sections that sum to ${half}`);
  }
  return { sections: sections as unknown as MropeSections, fields };
}
