/** Event files that TensorBoard reads. */
import { join } from "node:path";
import type { Logger, LoggerRun } from "../../../core/plugin.ts";
import { LogFile } from "../../_shared/log_file.ts";
import type { Message } from "../../_shared/protobuf.ts";
import { scalarsEvent, settingsTable, settingsText, versionEvent } from "./events.ts";
import { tfRecord } from "./tfrecord.ts";

/** Files opened by this process. */
let opened = 0;

/**
 * Opens a new event file in the run's folder: TensorBoard joins those of one folder, so a run that is continued is one
 * curve. Its name has the parts TensorBoard looks for and the time, by which it sorts them. Every record is on its way
 * to the disk when the call returns.
 *
 * @throws {WriteError} when the file cannot be opened or written
 */
export async function openTensorboard(run: LoggerRun): Promise<Logger> {
  const time = String(Math.floor(now())).padStart(10, "0");
  const name = `events.out.tfevents.${time}.speculators.${Deno.pid}.${opened++}`;
  const file = await LogFile.open(join(run.folder, name));
  const put = (message: Message) => file.write(tfRecord(message.encode()));
  try {
    await put(versionEvent(now()));
    await put(settingsTable(now(), run));
    await put(settingsText(now(), run.settings));
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
  return {
    log: (step, values) => put(scalarsEvent(now(), step, values)),
    close: () => file.close(),
  };
}

function now(): number {
  return Date.now() / 1000;
}
