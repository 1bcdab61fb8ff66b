/** What the log of a server says of its draft. */
import { ConfigError, FormatError } from "../errors.ts";
import { Tally } from "../evaluation/figures.ts";
import type { Found } from "../evaluation/run.ts";
import { readText } from "../files.ts";
import type { LoggedAcceptance } from "../plugin.ts";
import type { Runtime } from "../runtime.ts";

/** Largest log that is read. */
const MAX_BYTES = 512 * 1024 * 1024;

/**
 * Reads acceptance from a server's log. Its rates are those of upstream's `parse_logs.py`: weighted by drafted tokens over
 * the log's lines; the conditional one of a position is its rate over that of the one before. A log has no counts of rounds:
 * they are drafted tokens over positions, and the mean accepted length is 1 + the sum of the rates.
 *
 * @throws {NotFoundError} when the file is not there
 * @throws {FormatError} when it says nothing of acceptance
 * @throws {ConfigError} when the engine's logs are not known
 */
export async function evaluateLog(
  { path, engine }: { readonly path: string; readonly engine: string },
  { registry }: Pick<Runtime, "registry">,
): Promise<Found> {
  const plugin = await registry.get("engine", engine);
  if (!plugin.readLog) {
    throw new ConfigError("engine", `expected an engine whose logs can be read, received "${plugin.name}"`, {
      hint: "Give --engine vllm",
    });
  }
  const logged = await plugin.readLog(await readText(path, { maxBytes: MAX_BYTES }));
  if (logged === null) {
    throw new FormatError(path, "expected lines of acceptance, received none", {
      hint: "The log must be that of a server with a draft, which prints its statistics every few seconds",
    });
  }
  const figures = { ...new Tally().figures(), ...ratesOfLog(logged) };
  return { ...figures, identical: null, data_sets: [{ name: "log", ...figures }] };
}

/** The rates of a log. */
function ratesOfLog({ drafted, accepted, weighted }: LoggedAcceptance) {
  const rounds = weighted.length === 0 ? 0 : Math.round(drafted / weighted.length);
  const sum = weighted.reduce((all, rate) => all + rate, 0);
  return {
    rounds,
    drafted,
    accepted: accepted ?? Math.round(sum * rounds),
    acceptance_per_position: [...weighted],
    conditional_acceptance: weighted.map((rate, i) => {
      const before = i === 0 ? 1 : weighted[i - 1]!;
      return before === 0 ? 0 : rate / before;
    }),
    accepted_per_position: weighted.map((rate) => Math.round(rate * rounds)),
    mean_accepted_length: 1 + sum,
  };
}
