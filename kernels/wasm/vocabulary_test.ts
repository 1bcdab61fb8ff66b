import assert from "node:assert/strict";
import { ConfigError } from "../../core/errors.ts";
import { golden, goldenJson } from "../../tests/golden.ts";
import { selectVocabulary } from "./vocabulary.ts";

interface Case {
  name: string;
  draft_vocab_size: number;
  target_vocab_size: number;
  d2t?: object;
  token_freq?: [number, number][];
  error?: unknown;
}

/** Data of a one-dimensional .npy file. */
function npy(path: string): Uint8Array {
  const bytes = Deno.readFileSync(path), view = new DataView(bytes.buffer);
  return bytes.slice(10 + view.getUint16(8, true));
}

function select(c: Case) {
  const pairs = c.token_freq!;
  const ids = Int32Array.from(pairs, ([id]) => id);
  const counts = BigInt64Array.from(pairs, ([, count]) => BigInt(count));
  return selectVocabulary(ids, counts, c.draft_vocab_size, c.target_vocab_size);
}

Deno.test("a vocabulary is selected as the Python system selects it", () => {
  const cases = goldenJson<{ cases: Case[] }>("vocab", "cases.json").cases.filter((c) => c.token_freq);
  assert.ok(cases.length > 0);
  for (const c of cases) {
    if (c.error) {
      assert.throws(() => select(c), ConfigError, c.name);
      continue;
    }
    const { d2t, t2d } = select(c);
    assert.deepEqual(new Uint8Array(d2t.buffer), npy(golden("vocab", c.name, "d2t.npy")), `${c.name}: d2t`);
    assert.deepEqual(t2d, npy(golden("vocab", c.name, "t2d.npy")), `${c.name}: t2d`);
  }
});

Deno.test("counts beyond 32 bits keep their order", () => {
  const ids = Int32Array.of(1, 2, 3), counts = BigInt64Array.of(5n, 2n ** 40n, 2n ** 40n + 1n);
  const { d2t } = selectVocabulary(ids, counts, 1, 8);
  assert.deepEqual([...d2t], [3n]);
});

Deno.test("an observed id outside the verifier's vocabulary is refused only when it is kept", () => {
  const ids = Int32Array.of(9, 1), counts = BigInt64Array.of(1n, 2n);
  assert.deepEqual([...selectVocabulary(ids, counts, 1, 4).t2d], [0, 1, 0, 0]);
  assert.throws(() => selectVocabulary(ids, counts, 2, 4), /received 9/);
  assert.throws(() => selectVocabulary(Int32Array.of(-1), BigInt64Array.of(1n), 1, 4), /received -1/);
  assert.throws(
    () => selectVocabulary(Int32Array.of(1, 1), BigInt64Array.of(1n, 1n), 2, 4),
    /received 1 twice/,
  );
  assert.throws(() => selectVocabulary(ids, counts.subarray(1), 1, 4), ConfigError);
});
