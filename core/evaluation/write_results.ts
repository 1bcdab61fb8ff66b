/** The files of an evaluation. */
import { join } from "node:path";
import { writeFileAtomic, writeJsonAtomic } from "../files.ts";
import { reportPage } from "../report/page.ts";
import { acceptanceCsv, sweepCsv } from "./csv.ts";
import { evaluationReport } from "./report.ts";
import type { EvaluationRun } from "./results.ts";

/**
 * Writes `results.json`, `acceptance.csv`, `report.html`, and `perf_results.csv` where there was a sweep.
 *
 * @returns their paths
 * @throws {WriteError} when one cannot be written
 */
export async function writeResults(folder: string, run: EvaluationRun): Promise<string[]> {
  const at = (name: string) => join(folder, name);
  await writeJsonAtomic(at("results.json"), run);
  await writeFileAtomic(at("acceptance.csv"), acceptanceCsv(run));
  if (run.sweep.length > 0) await writeFileAtomic(at("perf_results.csv"), sweepCsv(run));
  await writeFileAtomic(at("report.html"), reportPage(evaluationReport([run])));
  const names = [
    "results.json",
    "acceptance.csv",
    ...(run.sweep.length > 0 ? ["perf_results.csv"] : []),
    "report.html",
  ];
  return names.map(at);
}
