import assert from "node:assert/strict";
import { join } from "node:path";
import { WriteError } from "../../../core/errors.ts";
import plugin from "./mod.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function lines(folder: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(join(folder, "metrics.jsonl"));
  assert(text.endsWith("\n"));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("a run's settings and steps become lines in the order of the calls", async () => {
  await inFolder(async (root) => {
    const folder = join(root, "new");
    const log = await plugin.open({ name: "run", folder, settings: { lr: 0.1 } });
    await Promise.all([log.log(0, { "train/loss_0": 1.5 }), log.log(1, { "train/loss_0": NaN })]);
    await log.close();
    const [first, second, third] = await lines(folder);
    assert.deepEqual(first, { run: "run", settings: { lr: 0.1 } });
    assert.equal(second?.["train/loss_0"], 1.5);
    assert.equal(typeof second?.seconds, "number");
    assert.deepEqual([third?.step, third?.["train/loss_0"]], [1, null]);
  });
});

Deno.test("a log is continued, and the line that a crash cut off is removed", async () => {
  await inFolder(async (folder) => {
    const whole = `{"step":0,"text":"${"é".repeat(40_000)}"}\n`;
    await Deno.writeTextFile(join(folder, "metrics.jsonl"), whole + '{"step":1,"los' + "s".repeat(70_000));
    const log = await plugin.open({ name: "again", folder, settings: {} });
    await log.close();
    assert.deepEqual((await lines(folder)).map((line) => line.step ?? line.run), [0, "again"]);
  });
});

Deno.test("a log that cannot be opened is a WriteError with the path", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "metrics.jsonl"));
    await assert.rejects(plugin.open({ name: "run", folder, settings: {} }), (error) => {
      assert(error instanceof WriteError);
      assert.match(error.message, /metrics\.jsonl/);
      return true;
    });
  });
});
