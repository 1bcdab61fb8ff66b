import assert from "node:assert/strict";
import { join } from "node:path";
import { finish, type Stage, type StageEvent } from "../events.ts";
import { RunReport } from "../report/run_report.ts";
import { reported } from "./reported.ts";

async function* stage(end: "well" | "broken", log: string[] = []): Stage<string> {
  try {
    yield { type: "metrics", stage: "train", split: "train", step: 0, epoch: 0, values: { loss_0: 1 } };
    yield { type: "metrics", stage: "train", split: "val", step: 1, epoch: 0, values: { loss_0: 2 } };
    yield { type: "metrics", stage: "train", split: "train", step: 1, epoch: 1, values: { loss_0: 0.25 } };
    await Promise.resolve();
    if (end === "broken") throw new Error("broken");
    return "done";
  } finally {
    log.push("ended");
  }
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const page = (folder: string): Promise<string> => Deno.readTextFile(join(folder, "report.html"));

Deno.test("a report is written with each validation and at the end", async () => {
  await inFolder(async (folder) => {
    const seen: StageEvent["type"][] = [], report = new RunReport({ name: "try", folder, settings: {} });
    const result = await finish(reported(stage("well"), report), (event) => seen.push(event.type));
    assert.equal(result, "done");
    assert.deepEqual(seen, ["metrics", "metrics", "metrics"]);
    assert.match(await page(folder), /"y":\[1,0\.25\]/);
  });
});

Deno.test("a stage that fails, and one that nobody listens to any more, leave their report", async () => {
  await inFolder(async (folder) => {
    const report = () => new RunReport({ name: "try", folder, settings: {} });
    await assert.rejects(finish(reported(stage("broken"), report())), /^Error: broken$/);
    assert.match(await page(folder), /"y":\[1,0\.25\]/);
    await Deno.remove(join(folder, "report.html"));
    const log: string[] = [];
    for await (const event of reported(stage("well", log), report())) {
      if (event.type === "metrics" && event.split === "val") break;
    }
    assert.deepEqual(log, ["ended"]);
    assert.match(await page(folder), /"train\/loss_0":\{"x":\[0\],"y":\[1\]/);
  });
});

Deno.test("a report that cannot be written is one warning, and the stage goes on", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "file"), "");
    const notes: string[] = [];
    const report = new RunReport({ name: "try", folder: join(folder, "file"), settings: {} });
    const result = await finish(reported(stage("well"), report), (event) => {
      if (event.type === "note") notes.push(`${event.level} ${event.text}`);
    });
    assert.equal(result, "done");
    assert.equal(notes.length, 1);
    assert.match(notes[0]!, /^warning the report cannot be written, the run goes on: Cannot write /);
  });
});
