import assert from "node:assert/strict";
import { DIALOGUES, VERIFIER } from "../../tests/cli.ts";
import { chooseMaskRule, loadTextModel } from "../text/mod.ts";
import { maskRecord } from "./mask_record.ts";
import { type MaskItem, maskOnThreads, maskThreads } from "./mask_records.ts";

const LINES = Deno.readTextFileSync(DIALOGUES).trimEnd().split("\n");
const SETUP = { model: VERIFIER, seqLength: 60, strictUpstream: false };

function itemAt(place: number): MaskItem & { readonly place: number } {
  if (place % 9 === 4) return { place };
  if (place % 9 === 7) return { place, record: { conversations: [] } };
  return { place, record: JSON.parse(LINES[place % LINES.length]!), dropoutSeed: BigInt(place) };
}

Deno.test("other threads mask as this one does, and give records in their order", async () => {
  const model = await loadTextModel(VERIFIER), text = { model, rule: chooseMaskRule(model) };
  const options = { threads: 2, setup: SETUP, read: (place: number) => Promise.resolve(itemAt(place)) };
  let next = 0;
  for await (const { item, result } of maskOnThreads(150, options)) {
    assert.equal(item.place, next++);
    if (item.record === undefined) continue;
    const here = maskRecord(item.record, text, { ...SETUP, dropoutSeed: item.dropoutSeed ?? 0n });
    if ("rejected" in here) assert.deepEqual(result, here);
    else assert.deepEqual(result, { ...here, text: "", offsets: new Int32Array() });
  }
  assert.equal(next, 150);
});

Deno.test("a thread that cannot load the model says what this one would say", async () => {
  const options = { threads: 1, read: (place: number) => Promise.resolve(itemAt(place)) };
  const all = maskOnThreads(3, { ...options, setup: { ...SETUP, model: "nowhere" } });
  await assert.rejects(all.next(), { code: "E_NOT_FOUND", message: /nowhere/ });
});

Deno.test("no more threads are started than there is work for", () => {
  assert.equal(maskThreads(8, 40), 2);
  assert.equal(maskThreads(8, 4000), 8);
  assert.equal(maskThreads(0, 4000), 0);
});
