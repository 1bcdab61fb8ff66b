import assert from "node:assert/strict";
import { Rejections } from "./rejections.ts";

Deno.test("rejected records are counted by reason, with the first line of the file that has one", () => {
  const rejections = new Rejections();
  rejections.add("not JSON", { path: "a.jsonl" }, 9);
  rejections.add("not JSON", { path: "a.jsonl" }, 4);
  rejections.add("no known column", { path: "a.jsonl" }, 2);
  assert.deepEqual(rejections.counts(), { "not JSON": 2, "no known column": 1 });
  assert.deepEqual(rejections.sentences(5), [
    "2 of 5 conversations left out: not JSON (a.jsonl:4 and 1 more)",
    "1 of 5 conversations left out: no known column (a.jsonl:2)",
  ]);
  assert.equal(rejections.summary(), "2 × not JSON, 1 × no known column");
});

Deno.test("the line of a folder's record is not told, since it is some file's in it", () => {
  const rejections = new Rejections();
  rejections.add("not UTF-8", { path: "folder" }, 1);
  assert.deepEqual(rejections.sentences(1), ["1 of 1 conversations left out: not UTF-8"]);
});
