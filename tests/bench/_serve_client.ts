/**
 * The clients of the serving benchmark, in a process of their own: neither their time nor their memory is the server's. Reads
 * a load a line from standard input and writes what it found, a line each.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { type LoadRunOptions, runLoad } from "../../mod.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const { records, summary } = await runLoad(JSON.parse(line) as LoadRunOptions);
  const lost = records.filter(({ outcome, status }) => outcome !== "ok" && status !== 429);
  const times = records.filter(({ outcome }) => outcome === "ok").map(({ start, end }) => end - start);
  process.stdout.write(
    `${JSON.stringify({ summary, lost: lost.slice(0, 3), lostCount: lost.length, times })}\n`,
  );
}
