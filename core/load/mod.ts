/**
 * A load on a server, and what it found.
 *
 * @module
 */
export { type LoadOptions, type LoadResult, type LoadShape, runLoad } from "./load.ts";
export type { LoadBody, LoadRecord } from "./request.ts";
export { type LoadSummary, type Percentiles, percentiles, summarise } from "./summary.ts";
