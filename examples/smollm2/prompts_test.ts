import assert from "node:assert/strict";
import { heldOutPrompts, trainingPrompts } from "./prompts.ts";

const text = ({ conversations }: ReturnType<typeof trainingPrompts>[number]) => conversations[0].value;

Deno.test("prompts are the same every time, each once, and a shorter list is the beginning of a longer one", () => {
  const all = trainingPrompts(10_000), some = trainingPrompts(50);
  assert.ok(all.length > 2000);
  assert.deepEqual(all.slice(0, 50), some);
  assert.equal(new Set(all.map(text)).size, all.length);
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
});

Deno.test("no prompt to measure with is one to train on", () => {
  const trained = new Set(trainingPrompts(10_000).map(text));
  assert.deepEqual(heldOutPrompts(10_000).map(text).filter((prompt) => trained.has(prompt)), []);
});
