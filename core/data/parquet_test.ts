import assert from "node:assert/strict";
import { testFolder } from "../formats/_test_folder.ts";
import { parquetWriteBuffer } from "./_hyparquet_writer.ts";
import { openRecords } from "./source.ts";

const TURNS = Array.from({ length: 25 }, (_, i) => [
  { role: "user", content: `question ${i} – é😀` },
  ...(i % 3 === 0 ? [] : [{ role: "assistant", content: `answer ${i}` }]),
]);

function conversations(rowGroupSize: number, codec: "SNAPPY" | "UNCOMPRESSED" = "SNAPPY"): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({
    columnData: [
      { name: "messages", data: TURNS },
      { name: "id", data: TURNS.map((_, i) => `id-${i}`) },
    ],
    schema: [
      { name: "root", num_children: 2 },
      { name: "messages", repetition_type: "OPTIONAL", converted_type: "LIST", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      { name: "element", repetition_type: "OPTIONAL", num_children: 2 },
      { name: "role", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "content", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "id", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
    ],
    codec,
    rowGroupSize,
  }));
}

Deno.test("records of a Parquet file come in any order, whatever its groups", async () => {
  await using folder = await testFolder();
  for (const [size, codec] of [[7, "SNAPPY"], [1000, "UNCOMPRESSED"]] as const) {
    const path = folder.at(`a${size}.parquet`);
    await Deno.writeFile(path, conversations(size, codec));
    using source = await openRecords(path);
    assert.equal(source.count, 25);
    const order = TURNS.map((_, i) => (i * 11 + 3) % 25);
    const found = await Promise.all(order.map((i) => source.read(i)));
    assert.deepEqual(found, order.map((i) => ({ record: { messages: TURNS[i] }, line: i + 1 })));
  }
});

Deno.test("a folder may hold Parquet and JSONL files; each record says which it is of", async () => {
  await using folder = await testFolder();
  await Deno.writeFile(folder.at("b.parquet"), conversations(7));
  await folder.put("a.jsonl", '{"text": "one"}\n');
  using source = await openRecords(folder.path);
  assert.equal(source.count, 26);
  assert.deepEqual(await source.read(0), { record: { text: "one" }, line: 1, path: folder.at("a.jsonl") });
  const second = await source.read(2);
  assert.deepEqual([second.path, second.line], [folder.at("b.parquet"), 2]);
});

Deno.test("a Parquet file without a known column, or a damaged one, is refused", async () => {
  await using folder = await testFolder();
  const other = parquetWriteBuffer({ columnData: [{ name: "a", data: [1, 2], type: "INT32" }] });
  await Deno.writeFile(folder.at("other.parquet"), new Uint8Array(other));
  await assert.rejects(openRecords(folder.at("other.parquet")), {
    code: "E_FORMAT",
    message: /expected a column "conversations" or "messages", received a$/,
  });
  const whole = conversations(7);
  await Deno.writeFile(folder.at("cut.parquet"), whole.subarray(0, whole.length - 20));
  await assert.rejects(openRecords(folder.at("cut.parquet")), { code: "E_FORMAT" });
  await folder.put("text.parquet", "no Parquet at all");
  await assert.rejects(openRecords(folder.at("text.parquet")), { code: "E_FORMAT" });
  // Every byte of the data spoiled in turn: an error of ours, or a record; never another error.
  for (let at = 4; at < 400; at += 13) {
    const spoiled = whole.slice();
    spoiled[at]! ^= 0x55;
    await Deno.writeFile(folder.at("spoiled.parquet"), spoiled);
    const found = await (async () => {
      using source = await openRecords(folder.at("spoiled.parquet"));
      return await source.read(3);
    })().catch((error) => error);
    assert.ok("line" in found || found.code === "E_FORMAT", String(found));
  }
});
