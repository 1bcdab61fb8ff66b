/** Keeps a stage's report on its way. */
import type { NoteEvent, Stage } from "../events.ts";
import type { RunReport } from "../report/run_report.ts";

/** Milliseconds between two writings within an epoch. */
const EVERY_MS = 60_000;

/**
 * Passes a stage's events through, and gives the numbers among them to a report. It is written after each validation,
 * once a minute, and when the stage ends, however it does. A report that cannot be written is told of in a warning, once.
 */
export async function* reported<R>(stage: Stage<R>, report: RunReport): Stage<R> {
  let written = performance.now(), failed = false;
  const write = async (): Promise<NoteEvent[]> => {
    written = performance.now();
    try {
      await report.write();
      return [];
    } catch (cause) {
      if (failed) return [];
      failed = true;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const text = `the report cannot be written, the run goes on: ${reason}`;
      return [{ type: "note", stage: "report", level: "warning", text }];
    }
  };
  let ended = false;
  try {
    let next = await stage.next();
    for (; !next.done; next = await stage.next()) {
      const event = next.value;
      yield event;
      if (event.type !== "metrics") continue;
      await report.take(event);
      if (event.split === "val" || performance.now() - written > EVERY_MS) yield* await write();
    }
    ended = true;
    yield* await write();
    return next.value;
  } finally {
    // Whoever stops listening here stops the stage as well, so that it cleans up.
    await stage.return(undefined as R);
    if (!ended) await write();
  }
}
