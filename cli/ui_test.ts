import assert from "node:assert/strict";
import { clock, type Output, prettyJson, Progress, size, style, table } from "./ui.ts";

function recorder(terminal: boolean): Output & { text: string } {
  return {
    text: "",
    terminal,
    colour: terminal,
    write(text) {
      this.text += text;
    },
  };
}

Deno.test("table aligns words left and numbers right", () => {
  assert.equal(
    table([["name", "rate"], ["plain", "9.5"], ["speculative", "12.25"]]),
    "name          rate\nplain          9.5\nspeculative  12.25\n",
  );
  assert.equal(table([["a", "1"], ["bb", "none"]]), "a   1\nbb  none\n");
});

Deno.test("prettyJson says what JSON.stringify says, with lists of numbers on one line", () => {
  const value = {
    a: [1, 2, null],
    b: [{ c: [] }, { d: {} }],
    e: "ü\n",
    f: NaN,
    g: undefined,
    h: [[1], [2, 3]],
  };
  assert.deepEqual(JSON.parse(prettyJson(value)), JSON.parse(JSON.stringify(value)));
  assert.equal(
    prettyJson({ a: [1, 2], b: { c: true } }),
    '{\n  "a": [1, 2],\n  "b": {\n    "c": true\n  }\n}',
  );
});

Deno.test("clock and size write numbers as people do", () => {
  assert.deepEqual([clock(0), clock(65), clock(3661)], ["0:00", "1:05", "1:01:01"]);
  assert.deepEqual([size(12), size(2048), size(5e9)], ["12 B", "2.00 KiB", "4.66 GiB"]);
});

Deno.test("style leaves text alone where colours are not wanted", () => {
  assert.equal(style(recorder(false), "red", "x"), "x");
  assert.equal(style(recorder(true), "red", "x"), "\x1b[31mx\x1b[39m");
});

Deno.test("progress shows rate and time left, and plain lines where there is no terminal", () => {
  const out = recorder(false);
  let time = 0;
  const progress = new Progress(out, { now: () => time });
  const event = (done: number) =>
    progress.show({ type: "progress", stage: "train", done, total: 100, unit: "steps" });
  event(0);
  time = 10_000;
  event(20);
  time = 11_000;
  event(21); // too soon for another line
  time = 50_000;
  event(100);
  const lines = out.text.trimEnd().split("\n");
  assert.equal(lines.length, 3);
  assert.match(lines[1]!, /20\/100 steps {2}2\.00\/s {2}0:40 left/);
  assert.match(lines[2]!, /100\/100 steps .* in 0:50/);
});

Deno.test("a line that was shown is not shown again when its stage ends early", () => {
  const out = recorder(false), progress = new Progress(out, { now: () => 0 });
  progress.show({ type: "progress", stage: "train", done: 1, total: 2, unit: "steps" });
  progress.end();
  progress.end();
  assert.equal(out.text.split("\n").length, 2);
});
