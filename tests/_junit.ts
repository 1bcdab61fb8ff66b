/**
 * Counts the results in the report that `deno test --junit-path` writes.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";

/** How many tests ended how. */
export interface Counts {
  /** Tests that passed. */
  readonly passed: number;
  /** Tests that failed. */
  readonly failed: number;
  /** Tests that did not run. */
  readonly skipped: number;
}

type Outcome = keyof Counts;

/**
 * Counts a report. Where a test has steps the steps count in its place; the test itself counts only when it failed and
 * none of its steps did.
 */
export function countResults(report: string): Counts {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [, suite] of report.matchAll(/<testsuite (.*?)<\/testsuite>/gs)) {
    const outcomes = outcomesOf(suite!);
    const names = [...outcomes.keys()];
    for (const [name, results] of outcomes) {
      const steps = names.filter((other) => other.startsWith(`${name} &gt; `));
      const stepFailed = steps.some((step) => outcomes.get(step)!.includes("failed"));
      for (const outcome of results) {
        if (steps.length === 0 || (outcome === "failed" && !stepFailed)) counts[outcome]++;
      }
    }
  }
  return counts;
}

/** Outcomes by name; tests of a file may have the same name. Names stay escaped. */
function outcomesOf(suite: string): Map<string, Outcome[]> {
  const outcomes = new Map<string, Outcome[]>();
  for (const [, name, body] of suite.matchAll(/<testcase name="([^"]*)"[^>]*>(.*?)<\/testcase>/gs)) {
    let outcome: Outcome = "passed";
    if (/^\s*<failure/.test(body!)) outcome = "failed";
    else if (/^\s*<skipped/.test(body!)) outcome = "skipped";
    outcomes.set(name!, [...outcomes.get(name!) ?? [], outcome]);
  }
  return outcomes;
}

/**
 * Files that ended outside of a test, which the report leaves out: a module that does not load, a promise that nobody
 * waited for.
 *
 * @param output what `deno test` printed
 */
export function brokenFiles(output: string): Set<string> {
  return new Set(
    stripVTControlCharacters(output).matchAll(/^\.\/(\S+) \(uncaught error\)/gm).map(([, file]) => file!),
  );
}

/** `3 passed, 0 failed`, and `, 1 skipped` where some were. */
export function closingLine(counts: Counts): string {
  const { passed, failed, skipped } = counts;
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
