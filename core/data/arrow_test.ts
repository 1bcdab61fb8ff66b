import assert from "node:assert/strict";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chooseMaskRule, type TextModel } from "../text/mod.ts";
import { goldenLines, goldenModel } from "../../tests/golden_models.ts";
import { golden } from "../../tests/golden.ts";
import { asOneTable } from "./arrow.ts";
import { preprocessRecord } from "./preprocess.ts";
import { numpyPermutation } from "./random.ts";
import { openRecords } from "./source.ts";

interface FileCase {
  case: string;
  file: string;
  tokenizer: string;
  seq_length: number;
  seed: number;
  max_samples: number | null;
  permutation: number[];
  rows?: { input_ids: number[]; loss_mask: number[] }[];
  error?: { type: string };
}

type Models = Map<string, Promise<TextModel>>;

/** Rows of a file, in upstream's order. */
async function rowsOf(c: FileCase, models: Models): Promise<NonNullable<FileCase["rows"]>> {
  if (!models.has(c.tokenizer)) models.set(c.tokenizer, goldenModel(c.tokenizer));
  const model = await models.get(c.tokenizer)!;
  const rule = chooseMaskRule(model, { strictUpstream: true });
  using file = await openRecords(golden("preprocess", "inputs", c.file));
  const table = await asOneTable(file);
  const order = numpyPermutation(table.count, c.seed);
  assert.deepEqual([...order], c.permutation, `${c.case}: order`);
  const rows = [];
  for (const index of order.subarray(0, c.max_samples ?? order.length)) {
    const found = await table.read(index);
    assert.ok("record" in found);
    const made = preprocessRecord(found.record, {
      model,
      rule,
      strictUpstream: true,
      maxLength: c.seq_length,
    });
    if ("rejected" in made) continue;
    const { ids, lossMask } = made.sequence;
    rows.push({ input_ids: [...ids], loss_mask: [...lossMask] });
  }
  return rows;
}

Deno.test("whole files become upstream's rows in upstream's order", async () => {
  const cases = goldenLines<FileCase>(golden("preprocess", "expected", "files.jsonl"));
  const models: Models = new Map();
  assert.ok(cases.length > 0);
  for (const c of cases) {
    switch (c.error?.type) {
      case undefined:
        assert.deepEqual(await rowsOf(c, models), c.rows, c.case);
        break;
      case "IndexError": // upstream shows its first row, and there is none
        assert.deepEqual(await rowsOf(c, models), [], c.case);
        break;
      default:
        await assert.rejects(rowsOf(c, models), /Cannot (read|find)/, c.case);
    }
  }
});

interface OfflineRun {
  argv: string[];
  already_there: number[];
  error: unknown;
  samples: Record<string, { input_ids: number[]; loss_mask: number[] }>;
}

Deno.test("the generation script's samples are these rows, one token shorter than the longest", async () => {
  const folder = golden("preprocess", "offline");
  const models: Models = new Map();
  let compared = 0;
  for (const { name } of Deno.readDirSync(folder)) {
    const run = JSON.parse(Deno.readTextFileSync(join(folder, name, "run.json"))) as OfflineRun;
    const { values } = parseArgs({
      args: run.argv,
      options: Object.fromEntries(
        ["train-data-path", "seq-length", "seed", "max-samples", "batch-size"].map((flag) => [flag, {
          type: "string" as const,
        }]),
      ),
      strict: false,
    });
    // Batches of more than ten mix up masks there, and a run that ended in an error has no rule to follow.
    if (Number(values["batch-size"] ?? 8) > 10 || run.error !== null) continue;
    const seed = Number(values.seed ?? 0);
    const file = String(values["train-data-path"]);
    using source = await openRecords(golden("preprocess", "inputs", file));
    const rows = await rowsOf({
      case: name,
      file,
      tokenizer: "tiny",
      seq_length: Number(values["seq-length"]),
      seed,
      max_samples: values["max-samples"] === undefined ? null : Number(values["max-samples"]),
      permutation: [...numpyPermutation(source.count, seed)],
    }, models);
    const cut = Number(values["seq-length"]) - 1;
    for (const [path, sample] of Object.entries(run.samples)) {
      const index = Number(/\d+/.exec(path)![0]);
      if (run.already_there.includes(index)) continue;
      const row = rows[index]!;
      assert.deepEqual(row.input_ids.slice(0, cut), sample.input_ids, `${name}/${path}`);
      assert.deepEqual(row.loss_mask.slice(0, cut), sample.loss_mask, `${name}/${path}`);
      compared++;
    }
  }
  assert.ok(compared > 0);
});
