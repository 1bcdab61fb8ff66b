/** The decoding loop against the Python system's rounds, with the draft that it trained. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Acceptance } from "../core/decode/acceptance.ts";
import { decode, type DecodeRound } from "../core/decode/decode.ts";
import { openSpeculator } from "../core/speculator.ts";
import { openVerifier } from "../core/verifier.ts";
import * as ops from "../kernels/ops/mod.ts";
import { builtins } from "../plugins/mod.ts";
import { testOnDevices } from "./devices.ts";
import { golden, goldenJson } from "./golden.ts";

/** Below this gap between the two best logits, either may win in f32. */
const NEAR_TIE = 1e-3;

interface GoldenRound {
  readonly position: number;
  readonly proposed: readonly number[];
  readonly accepted: number;
  readonly verifier: readonly number[];
  readonly margin: readonly number[];
}

interface GoldenDecode {
  readonly speculative_tokens: number;
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly per_position: readonly number[];
  readonly mean_accepted_length: number;
  readonly prompts: readonly {
    readonly prompt: string;
    readonly prompt_ids: readonly number[];
    readonly output: readonly number[];
    readonly rounds: readonly GoldenRound[];
  }[];
}

const verifierFolder = fileURLToPath(new URL("../examples/assets/tiny-verifier", import.meta.url));
const expected = goldenJson<GoldenDecode>("generate", "decode.json");
const round4 = (x: number) => Math.round(x * 1e4) / 1e4;

/** Compares rounds up to the first that a near-tie may have turned; gives how many were equal. */
function compareRounds(found: readonly DecodeRound[], wanted: readonly GoldenRound[]): number {
  for (const [i, round] of wanted.entries()) {
    const own = found[i], tie = round.margin.findIndex((margin) => margin < NEAR_TIE);
    const same = own?.position === round.position && own.accepted === round.accepted &&
      own.proposed.join() === round.proposed.join();
    if (same) continue;
    assert.ok(
      tie >= 0 && tie <= (own?.accepted ?? 0),
      `round ${i}: ${JSON.stringify(own)} for ${JSON.stringify(round)}`,
    );
    return i;
  }
  assert.equal(found.length, wanted.length);
  return wanted.length;
}

testOnDevices("decoding gives the Python system's rounds", async (backend) => {
  const registry = builtins();
  using verifier = await openVerifier(verifierFolder, { registry });
  using model = await verifier.load(backend);
  using speculator = await openSpeculator(golden("generate", "draft"), { registry, verifier, model });
  const counts = new Acceptance();
  let equal = 0;
  for (const prompt of expected.prompts) {
    const rounds: DecodeRound[] = [], output: number[] = [];
    const options = {
      ops,
      maxTokens: 64,
      draft: speculator.draft,
      numSpecTokens: expected.speculative_tokens,
    };
    for await (const round of decode(model, Int32Array.from(prompt.prompt_ids), options)) {
      output.push(...round.tokens);
      if (round.proposed.length === 0) continue; // the prompt's own pass
      rounds.push(round);
      counts.add(round.proposed.length, round.accepted);
    }
    const same = compareRounds(rounds, prompt.rounds);
    equal += same;
    if (same === prompt.rounds.length) assert.deepEqual(output, prompt.output);
  }
  assert.ok(equal > expected.rounds / 2, `only ${equal} of ${expected.rounds} rounds could be compared`);
  if (equal < expected.rounds) return; // a near-tie was turned: the totals are those of another text
  const rates = counts.rates();
  assert.deepEqual([rates.rounds, rates.drafted, rates.accepted], [
    expected.rounds,
    expected.drafted,
    expected.accepted,
  ]);
  assert.deepEqual(rates.acceptance_per_position.map(round4), expected.per_position);
  assert.equal(round4(rates.mean_accepted_length), expected.mean_accepted_length);
});
