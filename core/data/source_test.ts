import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import { openRecords, type RecordResult } from "./source.ts";

async function readAll(path: string, options = {}): Promise<RecordResult[]> {
  using source = await openRecords(path, options);
  const found: RecordResult[] = [];
  for (let i = 0; i < source.count; i++) found.push(await source.read(i));
  return found;
}

Deno.test("lines of a JSONL file are records, with their numbers, broken ones rejected", async () => {
  await using folder = await testFolder();
  const path = await folder.put(
    "a.jsonl",
    '\uFEFF{"a": 1}\r\n\n  \n{"b": \n[1]\n{"c": "é\\n"}\n{"last": true}',
  );
  assert.deepEqual(await readAll(path), [
    { record: { a: 1 }, line: 1 },
    { rejected: "not JSON", line: 4 },
    { rejected: "record is not an object", line: 5 },
    { record: { c: "é\n" }, line: 6 },
    { record: { last: true }, line: 7 },
  ]);
});

Deno.test("lines that cross the reader's blocks stay whole", async () => {
  await using folder = await testFolder();
  const records = Array.from({ length: 40 }, (_, i) => ({ i, text: "x".repeat(i * 1500) }));
  const path = await folder.put("a.jsonl", records.map((r) => JSON.stringify(r)).join("\n") + "\n\n");
  const read = await readAll(path);
  assert.deepEqual(read.map((r) => "record" in r ? r.record : r), records);
});

Deno.test("a line too long and bytes that are no UTF-8 are rejected", async () => {
  await using folder = await testFolder();
  const path = await folder.put(
    "a.jsonl",
    new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x0a, ...new Uint8Array(50).fill(0x31)]),
  );
  assert.deepEqual(await readAll(path, { maxLineBytes: 40 }), [
    { rejected: "not UTF-8", line: 1 },
    { rejected: "line is too long", line: 2 },
  ]);
});

Deno.test("a JSON array is read by number, a folder file by file in order of names", async () => {
  await using folder = await testFolder();
  await folder.put("b.json", '[{"n": 2}, 7]');
  await folder.put("a.jsonl", '{"n": 1}\n');
  await folder.put("c.txt", "no data");
  const [a, b] = [folder.at("a.jsonl"), folder.at("b.json")];
  assert.deepEqual(await readAll(folder.path), [
    { record: { n: 1 }, line: 1, path: a },
    { record: { n: 2 }, line: 1, path: b },
    { rejected: "record is not an object", line: 2, path: b },
  ]);
});

Deno.test("lines in a file named .json are read as lines", async () => {
  await using folder = await testFolder();
  const path = await folder.put("a.json", '{"n": 1}\n{"n": 2}\n');
  assert.deepEqual((await readAll(path)).map((r) => "record" in r ? r.record.n : null), [1, 2]);
});

Deno.test("an empty file has no records", async () => {
  await using folder = await testFolder();
  assert.deepEqual(await readAll(await folder.put("a.jsonl", "")), []);
});

Deno.test("a missing file, an empty folder and broken JSON are refused", async () => {
  await using folder = await testFolder();
  await assert.rejects(openRecords(folder.at("none.jsonl")), { code: "E_NOT_FOUND" });
  await assert.rejects(openRecords(folder.path), { code: "E_NOT_FOUND" });
  await assert.rejects(openRecords(await folder.put("a.json", "[{]")), { code: "E_FORMAT" });
});
