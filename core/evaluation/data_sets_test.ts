import assert from "node:assert/strict";
import { join } from "node:path";
import { inFolder } from "../../tests/cli.ts";
import { NotFoundError } from "../errors.ts";
import { readTurns } from "../data/prompts.ts";
import { findDataSets } from "./data_sets.ts";

Deno.test("files, folders and files of folders are data sets of their own, with names of their own", () =>
  inFolder(async (at) => {
    for (const name of ["b.jsonl", "a.jsonl", "notes.txt"]) await Deno.writeTextFile(at(name), "");
    const file = join(at("sub"), "a.jsonl");
    const found = await findDataSets([at(""), `${at("")}:b.jsonl`, file]);
    assert.deepEqual(found.map(({ name }) => name), ["a", "b", "b (2)", "a (2)"]);
    assert.deepEqual(found.map(({ paths }) => paths), [
      [at("a.jsonl")],
      [at("b.jsonl")],
      [at("b.jsonl")],
      [file],
    ]);
    await assert.rejects(
      findDataSets([`${at("")}:c.jsonl`]),
      (error) => error instanceof NotFoundError && /received others: a\.jsonl, b\.jsonl/.test(error.message),
    );
    await Deno.mkdir(at("empty"));
    await assert.rejects(findDataSets([at("empty")]), /expected \.jsonl or \.json files/);
  }));

Deno.test("questions without answers are prompts: those of a benchmark's column prompt, and its first turns", () =>
  inFolder(async (at) => {
    const records = [
      { prompt: "one" },
      { turns: ["two", "more"] },
      { messages: [{ role: "user", content: "three" }] },
    ];
    await Deno.writeTextFile(at("x.jsonl"), records.map((record) => JSON.stringify(record)).join("\n"));
    assert.deepEqual((await readTurns([at("x.jsonl")])).map(({ content }) => content), [
      "one",
      "two",
      "three",
    ]);
    assert.equal((await readTurns([at("x.jsonl")], { limit: 2 })).length, 2);
  }));
