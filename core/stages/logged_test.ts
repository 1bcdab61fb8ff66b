import assert from "node:assert/strict";
import type { Stage } from "../events.ts";
import { finish } from "../events.ts";
import { definePlugin } from "../plugin.ts";
import { createRegistry, type Registry } from "../registry.ts";
import { logged } from "./logged.ts";

type Entry = readonly [name: string, what: unknown];

/** A registry of one logger that writes down what it is told; `fail` names what throws. */
function recording(log: Entry[], fail?: "open" | "log" | "close"): Registry {
  return createRegistry(["a", "b"].map((name) => ({
    kind: "logger",
    name,
    summary: "Writes down what it is told",
    load: () =>
      Promise.resolve({
        default: definePlugin({
          apiVersion: 1,
          kind: "logger",
          name,
          summary: "Writes down what it is told",
          open: (run) => {
            if (fail === "open" && name === "a") return Promise.reject(new Error("no space"));
            log.push([name, run.name]);
            return Promise.resolve({
              log: (step, values) => {
                if (fail === "log") return Promise.reject(new Error("no space"));
                log.push([name, { step, ...values }]);
                return Promise.resolve();
              },
              close: () => {
                log.push([name, "closed"]);
                return fail === "close" && name === "a"
                  ? Promise.reject(new Error("no space"))
                  : Promise.resolve();
              },
            });
          },
        }),
      }),
  })));
}

async function* stage(log: Entry[], fail = false): Stage<string> {
  try {
    yield { type: "metrics", stage: "train", split: "train", step: 3, epoch: 1, values: { loss_0: 0.5 } };
    yield { type: "progress", stage: "train", done: 1, total: 2, unit: "steps" };
    await Promise.resolve();
    if (fail) throw new Error("broken");
    return "done";
  } finally {
    log.push(["stage", "ended"]);
  }
}

const run = { name: "try", folder: "logs", settings: {} };

Deno.test("metrics go to every logger by split and name, and all events go on", async () => {
  const log: Entry[] = [], seen: string[] = [];
  const result = await finish(
    logged(stage(log), { loggers: ["a", "b", "a"], run }, { registry: recording(log) }),
    (event) => seen.push(event.type),
  );
  assert.equal(result, "done");
  assert.deepEqual(seen, ["metrics", "progress"]);
  const values = { step: 3, "train/epoch": 1, "train/loss_0": 0.5 };
  assert.deepEqual(log, [
    ["a", "try"],
    ["b", "try"],
    ["a", values],
    ["b", values],
    ["stage", "ended"],
    ["a", "closed"],
    ["b", "closed"],
  ]);
});

Deno.test("loggers are closed when the stage fails, and its error is the one thrown", async () => {
  for (const fail of [undefined, "close"] as const) {
    const log: Entry[] = [];
    const work = logged(stage(log, true), { loggers: ["a", "b"], run }, { registry: recording(log, fail) });
    await assert.rejects(finish(work), /^Error: broken$/);
    assert.deepEqual(log.slice(-2), [["a", "closed"], ["b", "closed"]]);
  }
});

Deno.test("a stage that nobody listens to any more is ended, its loggers closed", async () => {
  const log: Entry[] = [];
  for await (const _ of logged(stage(log), { loggers: ["a"], run }, { registry: recording(log) })) break;
  assert.deepEqual(log.slice(-2), [["stage", "ended"], ["a", "closed"]]);
});

Deno.test("a logger that fails is named in one warning, asked again, and the stage goes on", async () => {
  for (const fail of ["log", "close"] as const) {
    const log: Entry[] = [], notes: string[] = [];
    const options = { loggers: ["b", "a"], run };
    const twice = async function* (): Stage<string> {
      yield* stage(log);
      return yield* stage(log);
    };
    const result = await finish(logged(twice(), options, { registry: recording(log, fail) }), (event) => {
      if (event.type === "note") notes.push(`${event.level}: ${event.text}`);
    });
    assert.equal(result, "done");
    const expected = (fail === "log" ? ["b", "a"] : ["a"]).map((name) =>
      `warning: the logger "${name}" failed, its log may have gaps; the run goes on: no space`
    );
    assert.deepEqual(notes, expected);
    assert.deepEqual(log.filter(([, what]) => what === "closed").map(([name]) => name), ["b", "a"]);
  }
});

Deno.test("a logger that cannot be opened ends the stage with its name", async () => {
  const log: Entry[] = [], registry = recording(log, "open");
  const work = logged(stage(log), { loggers: ["b", "a"], run }, { registry });
  await assert.rejects(finish(work), {
    code: "E_PLUGIN",
    message: /plugin "a": expected open\(\) to succeed, received Error: no space/,
  });
  assert.deepEqual(log, [["b", "try"], ["stage", "ended"], ["b", "closed"]]);
});

Deno.test("an unknown logger is refused before the stage begins", async () => {
  const log: Entry[] = [];
  const work = logged(stage(log), { loggers: ["c"], run }, { registry: recording(log) });
  await assert.rejects(finish(work), { code: "E_NOT_FOUND" });
  assert.deepEqual(log, []);
});

Deno.test("a run that never began opens no log", async () => {
  const log: Entry[] = [];
  // deno-lint-ignore require-yield -- one that fails at once
  async function* broken(): Stage<string> {
    await Promise.resolve();
    throw new Error("broken");
  }
  await assert.rejects(
    finish(logged(broken(), { loggers: ["a"], run }, { registry: recording(log) })),
    /^Error: broken$/,
  );
  assert.deepEqual(log, []);
});
