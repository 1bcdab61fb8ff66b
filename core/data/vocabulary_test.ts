import assert from "node:assert/strict";
import { join } from "node:path";
import { testFolder } from "../formats/_test_folder.ts";
import { selectVocabulary } from "../../kernels/mod.ts";
import { goldenLines } from "../../tests/golden_models.ts";
import { golden, goldenJson } from "../../tests/golden.ts";
import { readFrequencies, writeFrequencies } from "./frequencies.ts";
import {
  combineFrequencies,
  countTokens,
  mapVocabulary,
  readVocabularyMap,
  vocabularyCoverage,
  writeVocabularyMap,
} from "./vocabulary.ts";

interface VocabularyCase {
  name: string;
  draft_vocab_size: number;
  target_vocab_size: number;
  observed: number;
  parts: number;
  token_freq?: [number, number][];
  error?: unknown;
}

const cases = () => goldenJson<{ cases: VocabularyCase[] }>("vocab", "cases.json").cases;

Deno.test("vocabulary maps are upstream's, byte for byte", async () => {
  await using folder = await testFolder();
  assert.ok(cases().length > 0);
  for (const c of cases()) {
    const frequencies = await readFrequencies(golden("vocab", c.name, "token_freq.pt"));
    if (c.observed !== undefined) assert.equal(frequencies.size, c.observed, c.name);
    if (c.token_freq) assert.deepEqual([...frequencies], c.token_freq, c.name);
    const map = () =>
      mapVocabulary(frequencies, {
        draftSize: c.draft_vocab_size,
        targetSize: c.target_vocab_size,
        select: selectVocabulary,
      });
    if (c.error) {
      await assert.rejects(map, { code: "E_CONFIG" }, c.name);
      continue;
    }
    const paths = await writeVocabularyMap(join(folder.path, c.name), await map());
    for (const [kind, path] of Object.entries(paths)) {
      const expected = await Deno.readFile(golden("vocab", c.name, `${kind}.npy`));
      assert.deepEqual(await Deno.readFile(path), expected, `${c.name}: ${kind}`);
    }
    assert.deepEqual(await readVocabularyMap(paths.d2t, paths.t2d), await map(), c.name);
  }
});

Deno.test("frequencies of several data sets add up as upstream adds them", async () => {
  for (const c of cases().filter((c) => c.parts > 0)) {
    const parts = [];
    for (let i = 0; i < c.parts; i++) {
      parts.push(await readFrequencies(golden("vocab", c.name, `part_${i}.pt`)));
    }
    const whole = await readFrequencies(golden("vocab", c.name, "token_freq.pt"));
    assert.deepEqual([...combineFrequencies(parts)], [...whole], c.name);
  }
});

Deno.test("counting gives upstream's frequencies in upstream's order", async () => {
  interface Case {
    case: string;
    rows?: { input_ids: number[]; loss_mask: number[] }[];
    token_freq?: [number, number][];
  }
  await using folder = await testFolder();
  let counted = 0;
  for (const c of goldenLines<Case>(golden("preprocess", "expected", "files.jsonl"))) {
    if (!c.token_freq) continue;
    const frequencies = new Map<number, number>();
    for (const row of c.rows ?? []) {
      countTokens(frequencies, Int32Array.from(row.input_ids), Uint8Array.from(row.loss_mask));
    }
    const file = await readFrequencies(golden("preprocess", "token_freq", `${c.case}.pt`));
    assert.deepEqual([...frequencies], [...file], c.case);
    const path = folder.at(`${c.case}.pt`);
    await writeFrequencies(path, frequencies);
    const expected = await Deno.readFile(golden("preprocess", "token_freq", `${c.case}.pt`));
    assert.deepEqual(await Deno.readFile(path), expected, c.case);
    counted++;
  }
  assert.ok(counted > 0);
});

Deno.test("coverage is the share of trained tokens that a size keeps", () => {
  const frequencies = new Map([[5, 1], [2, 6], [9, 3]]);
  assert.deepEqual(vocabularyCoverage(frequencies, [1, 2, 10]), [
    { size: 1, share: 0.6 },
    { size: 2, share: 0.9 },
    { size: 10, share: 1 },
  ]);
  assert.deepEqual(vocabularyCoverage(new Map(), [4]), [{ size: 4, share: 0 }]);
});

Deno.test("a mapping whose two files disagree is refused", async () => {
  await using folder = await testFolder();
  const paths = await writeVocabularyMap(folder.path, {
    d2t: new BigInt64Array([0n, 1n]),
    t2d: new Uint8Array([1, 1, 1]),
  });
  await assert.rejects(readVocabularyMap(paths.d2t, paths.t2d), { code: "E_FORMAT" });
});
