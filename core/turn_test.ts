import assert from "node:assert/strict";
import { AbortedError } from "./errors.ts";
import { turn } from "./turn.ts";

Deno.test("a loop that never waits lets timers run", async () => {
  let ran = false;
  const timer = setTimeout(() => ran = true, 0), end = performance.now() + 5000;
  while (!ran && performance.now() < end) await turn();
  clearTimeout(timer);
  assert.ok(ran);
});

Deno.test("a turn ends a loop that is asked to stop", async () => {
  await turn(new AbortController().signal);
  await assert.rejects(turn(AbortSignal.abort()), AbortedError);
});
