/** Reads the numbers of a run back from its lines of JSON. */
import { openFile } from "../files.ts";
import { type HistoryData, RunHistory } from "./history.ts";

/** Bytes read at once, the longest line, and the longest log. */
const BLOCK = 1024 * 1024, MAX_LINE = 1024 * 1024, MAX_BYTES = 2 ** 31;

/**
 * Reads `metrics.jsonl`: the lines of steps, `{"step": 3, "train/loss_0": 1.5, …}`. Others, and what is broken, are
 * passed over.
 *
 * @returns `null` where there is no such file, or none with steps in it
 */
export async function readMetricsLog(path: string): Promise<HistoryData | null> {
  const history = new RunHistory();
  try {
    using file = await openFile(path);
    if (file.size > MAX_BYTES) return null;
    const decoder = new TextDecoder();
    let rest = "";
    for (let at = 0; at < file.size; at += BLOCK) {
      const block = await file.read(at, Math.min(BLOCK, file.size - at));
      const lines = (rest + decoder.decode(block, { stream: true })).split("\n");
      rest = lines.pop()!;
      if (rest.length > MAX_LINE) return null;
      for (const line of lines) takeLine(history, line);
    }
  } catch {
    return null;
  }
  return history.names.length === 0 ? null : history.toJSON();
}

function takeLine(history: RunHistory, line: string): void {
  let found: unknown;
  try {
    found = JSON.parse(line);
  } catch {
    return;
  }
  if (typeof found !== "object" || found === null) return;
  const { step, seconds: _, ...values } = found as Record<string, unknown>;
  if (!Number.isSafeInteger(step)) return;
  const splits = new Map<string, Record<string, number | null>>();
  for (const [name, value] of Object.entries(values)) {
    const slash = name.indexOf("/");
    if (slash <= 0 || !(value === null || typeof value === "number")) continue;
    const split = name.slice(0, slash), own = splits.get(split) ?? {};
    splits.set(split, own);
    own[name.slice(slash + 1)] = value;
  }
  for (const [split, { epoch, ...own }] of splits) {
    history.take({ split, step: step as number, epoch: epoch ?? 0, values: own });
  }
}
