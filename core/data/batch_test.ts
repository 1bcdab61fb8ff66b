import assert from "node:assert/strict";
import { toFloat32, toInt32 } from "../formats/dtype.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { testFolder } from "../formats/_test_folder.ts";
import { golden, goldenJson } from "../../tests/golden.ts";
import { packBatch, type PackedBatch } from "./batch.ts";
import type { Sample } from "./sample.ts";
import { openSampleStore } from "./store.ts";

interface BatchCase {
  name: string;
  indices: number[];
  max_len: number;
  lengths: number[];
  document_ids: number[];
  attention: string[] | null;
}
interface Cases {
  lengths: number[];
  approx_lengths: { sizes: number[]; from_sizes: number[] };
  batches: BatchCase[];
}

const cases = () => goldenJson<Cases>("batches", "cases.json");

async function samples(indices: readonly number[]): Promise<Sample[]> {
  const store = await openSampleStore(golden("batches", "samples"));
  return await Promise.all(indices.map((i) => store.read(i)));
}

async function assertTensors(path: string, batch: PackedBatch, where: string): Promise<void> {
  using file = await openSafetensors(path);
  const floats = async (name: string) => toFloat32(await file.read(name));
  const integers = async (name: string) => [...toInt32(await file.read(name))];
  assert.deepEqual([...batch.tokens], await integers("input_ids"), `${where}: tokens`);
  assert.deepEqual([...batch.lossMask], await integers("loss_mask"), `${where}: mask`);
  assert.deepEqual([...batch.positions], await integers("position_ids"), `${where}: positions`);
  assert.deepEqual([...batch.lengths], await integers("lengths"), `${where}: lengths`);
  assert.deepEqual(batch.hidden, await floats("hidden_states"), `${where}: hidden`);
  assert.deepEqual(batch.last, await floats("verifier_last_hidden_states"), `${where}: last`);
}

Deno.test("a sample is shifted as upstream shifts it", async () => {
  for (const index of cases().lengths.keys()) {
    const [sample] = await samples([index]);
    const batch = packBatch([sample!], { maxLength: 1 << 20 });
    await assertTensors(
      golden("batches", "expected", `sample_${index}.safetensors`),
      batch,
      `sample ${index}`,
    );
  }
});

Deno.test("samples are packed, cut and padded as upstream collates them", async () => {
  assert.ok(cases().batches.length > 0);
  for (const c of cases().batches) {
    const batch = packBatch(await samples(c.indices), { maxLength: c.max_len, pad: c.max_len });
    await assertTensors(golden("batches", "expected", `${c.name}.safetensors`), batch, c.name);
    assert.deepEqual(batch.lengths, c.lengths, c.name);
    assert.deepEqual([...batch.documents], c.document_ids, c.name);
    for (const [q, row] of (c.attention ?? []).entries()) {
      assert.equal(visible(batch, q), row, `${c.name}: attention of ${q}`);
    }
  }
});

/** Which keys a row sees: the batch's own and those of one draft step. */
function visible(batch: PackedBatch, q: number): string {
  const { documents } = batch;
  let row = "";
  for (let k = 0; k < 2 * documents.length; k++) {
    const own = k % documents.length;
    const causal = q >= k && documents[q] !== -1 && documents[q] === documents[own];
    row += causal || own === q ? "1" : "0";
  }
  return row;
}

Deno.test("without padding a batch has just its rows", async () => {
  const batch = packBatch(await samples([0, 4]), { maxLength: 64 });
  assert.equal(batch.tokens.length, batch.lengths.reduce((a, b) => a + b, 0));
  assert.ok(!batch.documents.includes(-1));
  assert.equal(batch.hidden.length, batch.tokens.length * batch.auxWidth);
});

Deno.test("noise changes the states and leaves the padding alone", async () => {
  const noise = { kind: "uniform", std: 0.05, random: () => 0.9 } as const;
  const plain = packBatch(await samples([0]), { maxLength: 64, pad: 16 });
  const noisy = packBatch(await samples([0]), { maxLength: 64, pad: 16, noise });
  const used = plain.lengths[0]! * plain.width;
  for (let i = 0; i < noisy.last.length; i++) {
    const expected = i < used ? 0.04 : 0;
    assert.ok(Math.abs(noisy.last[i]! - plain.last[i]! - expected) < 1e-5, `element ${i}`);
  }
});

Deno.test("a batch of nothing is refused", () => {
  assert.throws(() => packBatch([], { maxLength: 8 }), { code: "E_CONFIG" });
});

Deno.test("lengths come from the folder's list, and upstream's estimate from sizes", async () => {
  const { approx_lengths, lengths } = cases();
  const store = await openSampleStore(golden("batches", "samples"));
  assert.deepEqual([...(await store.lengths()).values()], lengths);
  await using folder = await testFolder();
  for (const index of await store.list()) {
    await Deno.copyFile(store.path(index), folder.at(`data_${index}.pt`));
  }
  const unlisted = await openSampleStore(folder.path);
  assert.deepEqual([...(await unlisted.lengths()).values()], lengths, "read from the files");
  assert.deepEqual([...(await unlisted.lengths({ openAtMost: 1 })).values()], approx_lengths.from_sizes);
});
