import assert from "node:assert/strict";
import { join } from "node:path";
import type { MetricsEvent } from "../events.ts";
import { RunReport, type RunReportOptions } from "./run_report.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function event(split: string, step: number, values: Record<string, number>, epoch = 0): MetricsEvent {
  return { type: "metrics", stage: "train", split, step, epoch, values };
}

/** Losses by step that a report shows. */
function losses(report: RunReport): (number | null)[][] {
  const chart = report.report().sections[0]!.charts.find(({ title }) => title === "Loss per TTT step")!;
  return chart.series.map(({ y }) => [...y]);
}

async function run(
  options: RunReportOptions,
  from: number,
  end: { readonly write?: boolean } = {},
): Promise<RunReport> {
  const report = new RunReport(options);
  for (let step = from; step < from + 3; step++) {
    await report.take(event("train", step, { loss_0: step, lr: 0.1 }));
  }
  await report.take(event("val", from + 3, { loss_0: 100 + from, cond_acc_0: 0.5, full_acc_0: 0.5 }));
  if (end.write ?? true) await report.write();
  return report;
}

Deno.test("known numbers stand in their charts, others get one of their own", async () => {
  const report = new RunReport({ name: "<try>", folder: "unused", settings: { lr: 0.1, absent: undefined } });
  const values = {
    loss_0: 1,
    loss_1: 2,
    full_acc_0: 0.5,
    cond_acc_0: 0.5,
    simulated_accepted_length: 1.5,
    lr: 1,
  };
  const speed = {
    tokens_per_second: 9,
    data_seconds: 1,
    compute_seconds: 2,
    memory_bytes: 5,
    peak_memory_bytes: 6,
  };
  await report.take(event("train", 0, { ...values, ...speed, epoch: 0, grad_norm: 1, own_3: 7, odd: 4 }));
  await report.take(event("val", 1, { ...values, seconds: 4 }));
  const { sections, details, title } = report.report();
  assert.deepEqual(sections.map(({ title, charts }) => [title, charts.map((chart) => chart.title)]), [
    ["Learning", [
      "Loss per TTT step",
      "Accuracy per position",
      "Conditional accuracy per position",
      "Simulated mean accepted length",
    ]],
    ["Optimisation", ["Learning rate", "Norm of the gradients"]],
    ["Speed and memory", [
      "Tokens per second",
      "Time of a step by phase",
      "Memory of the device",
      "Time in all by phase",
    ]],
    ["Further numbers", ["own per TTT step", "odd"]],
  ]);
  const [loss] = sections[0]!.charts;
  assert.deepEqual(loss!.series.map(({ name, colour, look }) => [name, colour, look]), [
    ["train step 0", 0, "plain"],
    ["train step 1", 1, "plain"],
    ["val step 0", 0, "strong"],
    ["val step 1", 1, "strong"],
  ]);
  assert.deepEqual(sections[2]!.charts.at(-1)!.series[0]!.y, [1, 2, 4]);
  const [, epochs] = report.report().tables;
  assert.deepEqual(epochs!.head, [
    "epoch",
    "steps",
    "simulated accepted length",
    "loss 0",
    "full acc 0",
    "cond acc 0",
  ]);
  assert.deepEqual(epochs!.rows, [["1", "1", "1.5", "1", "50 %", "50 %"]]);
  assert.deepEqual([title, details[0]!.entries], ["Training of <try>", [["lr", "0.1"]]]);
});

Deno.test("a run that goes on has its beginning from the report it left", async () => {
  await inFolder(async (folder) => {
    const options = { name: "try", folder, settings: {} };
    await run(options, 0);
    assert.deepEqual(losses(await run(options, 3)), [[0, 1, 2, 3, 4, 5], [100, 103]]);
    assert.deepEqual(losses(await run(options, 3)), [[0, 1, 2, 3, 4, 5], [100, 103]]);
    assert.deepEqual(losses(await run(options, 0)), [[0, 1, 2], [100]], "one that begins anew has none");
  });
});

Deno.test("lines of JSON are the beginning where the report has less of it", async () => {
  await inFolder(async (folder) => {
    const options = {
      name: "try",
      folder: join(folder, "run"),
      logFolder: join(folder, "logs"),
      settings: {},
    };
    await Deno.mkdir(options.logFolder);
    const lines = [
      '{"run":"try","settings":{"x/y":1}}',
      '{"step":0,"seconds":1,"train/epoch":0,"train/loss_0":0}',
      '{"step":1,"seconds":1,"train/epoch":0,"train/loss_0":null}',
      '{"step":2,"train/epoch":0,"train/loss_0":"2"}',
      "not JSON",
      "[1]",
      '{"step":1,"train/epoch":0,"train/loss_0":11}',
      '{"step":2,"train/epoch":0,"train/loss_0":12}',
      '{"step":3,"val/epoch":0,"val/loss_0":50}',
      '{"step":3,"train/lo',
    ];
    await Deno.writeTextFile(join(options.logFolder, "metrics.jsonl"), lines.join("\n"));
    assert.deepEqual(losses(await run(options, 3, { write: false })), [[0, 11, 12, 3, 4, 5], [50, 103]]);
    // A log that began later than the report knows less.
    await run({ ...options, logFolder: join(folder, "none") }, 0);
    await Deno.writeTextFile(join(options.logFolder, "metrics.jsonl"), '{"step":3,"train/loss_0":3}\n');
    assert.deepEqual(losses(await run(options, 3, { write: false })), [[0, 1, 2, 3, 4, 5], [100, 103]]);
  });
});

Deno.test("a report that was changed or is no report is no beginning, and is replaced", async () => {
  await inFolder(async (folder) => {
    const options = { name: "try", folder, settings: {} };
    const data =
      '<script type="application/json" id="data">{"version":1,"series":{"a":{"x":["1"]}},"epochs":[]}</script>';
    for (const text of ["", "hello", data]) {
      await Deno.writeTextFile(join(folder, "report.html"), text);
      assert.deepEqual(losses(await run(options, 3)), [[3, 4, 5], [103]]);
      assert.match(await Deno.readTextFile(join(folder, "report.html")), /^<!DOCTYPE html>/);
    }
    assert.deepEqual((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name), ["report.html"]);
  });
});

Deno.test("a report says by what and from what the run was made, where the run has written it down", async () => {
  await inFolder(async (folder) => {
    const details = async (text: string) => {
      await Deno.writeTextFile(join(folder, "provenance.json"), text);
      return (await run({ name: "try", folder, settings: { lr: 1 } }, 0)).report().details;
    };
    const calls = [{ device: "old" }, {
      device: "wasm",
      data: { sha256: "ab" },
      settings: { lr: 2, seed: 3 },
    }];
    assert.deepEqual(await details(JSON.stringify({ calls })), [
      { title: "Settings", entries: [["lr", "2"], ["seed", "3"]] },
      {
        title: "Provenance",
        entries: [["calls", "2"], ["device", "wasm"], ["data", '{\n "sha256": "ab"\n}']],
      },
    ]);
    const settings = [{ title: "Settings", entries: [["lr", "1"]] }];
    for (const text of ["", "[]", '{"calls":3}', "null"]) assert.deepEqual(await details(text), settings);
    assert.deepEqual((await details('{"calls":[null]}'))[1], {
      title: "Provenance",
      entries: [["calls", "1"]],
    });
  });
});

Deno.test("a run without numbers leaves no report", async () => {
  await inFolder(async (folder) => {
    await new RunReport({ name: "try", folder, settings: {} }).write();
    assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
  });
});
