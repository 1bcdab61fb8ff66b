/** Evaluations side by side. */
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { writeFileAtomic } from "../files.ts";
import { reportPage } from "../report/page.ts";
import { evaluationReport } from "./report.ts";
import { type EvaluationRun, readResults } from "./results.ts";

/** Most evaluations side by side: the page has eight colours. */
const MOST = 8;

/**
 * Reads evaluations, and writes a page that compares them.
 *
 * @param sources paths of `results.json` or of its folder, `LABEL=PATH` where it shall have another name
 * @param folder where `comparison.html` goes; `null` for none
 * @throws {ConfigError} when there are fewer than two, or more than eight
 * @throws {NotFoundError} when one is not there
 * @throws {FormatError} when one is no evaluation
 */
export async function writeComparison(
  sources: readonly string[],
  folder: string | null,
): Promise<{ readonly runs: EvaluationRun[]; readonly page: string | null }> {
  if (sources.length < 2 || sources.length > MOST) {
    throw new ConfigError("runs", `expected 2 to ${MOST} evaluations, received ${sources.length}`, {
      hint: "Give the --output-dir of each",
    });
  }
  const runs: EvaluationRun[] = [];
  for (const source of sources) {
    const [, label, path] = /^([^=/]+)=(.+)$/.exec(source) ?? [];
    const run = await readResults(path ?? source);
    runs.push(label === undefined ? run : { ...run, name: label });
  }
  const names = runs.map(({ name }) => name);
  const named = runs.map((run, i) => {
    const before = names.slice(0, i).filter((name) => name === run.name).length;
    return before === 0 ? run : { ...run, name: `${run.name} (${before + 1})` };
  });
  const page = folder === null ? null : join(folder, "comparison.html");
  if (page !== null) await writeFileAtomic(page, reportPage(evaluationReport(named)));
  return { runs: named, page };
}
