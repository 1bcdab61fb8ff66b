/**
 * What every engine must do: a suite for plugins of third parties too. It knows nothing of the right numbers, only that
 * answers have their shape and do not depend on what is asked beside.
 *
 * @module
 */
import assert from "node:assert/strict";
import { toFloat32 } from "../../core/formats/dtype.ts";
import type { Engine, EnginePlugin } from "../../core/plugin.ts";
import { type Register, registrarOf } from "./register.ts";

/** An engine, and whatever goes with it when it is disposed of. */
export interface OpenEngine extends Disposable {
  /** The engine. */
  readonly engine: Engine;
}

/** What {@linkcode engineConformance} tests. */
export interface EngineSubject {
  /** Begins the tests' names. */
  readonly name: string;
  /** What it says that it can do; the tests of the rest are left out. */
  readonly capabilities: EnginePlugin["capabilities"];
  /** Opens it; each test opens, and disposes of, its own. */
  open(): Promise<OpenEngine>;
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
}

/** Largest difference between states that counts as none, of the largest entry: they may be in 16 bits. */
const TOLERANCE = 1e-2;

/** Token ids that a model of any vocabulary has. */
function sample({ info }: Engine, length: number, seed = 1): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i * i * 7 + i * 13 + seed * 31) % info.vocabSize);
}

/** Registers the tests of an engine. */
export function engineConformance(subject: EngineSubject): void {
  const register = registrarOf(subject);
  const test = (name: string, body: (engine: Engine) => Promise<void>) =>
    register(`${subject.name}: ${name}`, async () => {
      using opened = await subject.open();
      await body(opened.engine);
    });
  const capturing = subject.capabilities.capture ? test : () => {};
  const generating = subject.capabilities.generate ? test : () => {};

  test("it says what the verifier is", ({ info }) => {
    for (const field of ["hiddenSize", "layers", "vocabSize"] as const) {
      assert.ok(Number.isInteger(info[field]) && info[field] > 0, `${field} is ${info[field]}`);
    }
    return Promise.resolve();
  });

  capturing(
    "states are [tokens, width] for each layer of each sample, all of them numbers",
    async (engine) => {
      const { info } = engine, samples = [sample(engine, 7), sample(engine, 3, 2)];
      const found = await engine.capture(samples, [0, info.layers]);
      assert.equal(found.length, samples.length);
      found.forEach((states, i) => {
        assert.equal(states.length, 2);
        for (const tensor of states) {
          assert.deepEqual([...tensor.shape], [samples[i]!.length, info.hiddenSize]);
          assert.ok(toFloat32(tensor).every(Number.isFinite), "a state is no number");
        }
      });
    },
  );

  capturing("states do not depend on the order of layers or on the samples beside", async (engine) => {
    const { layers } = engine.info, one = sample(engine, 6), other = sample(engine, 9, 2);
    const [both] = await engine.capture([one, other], [layers, 0]);
    const [alone] = await engine.capture([one], [0, layers]);
    for (const [a, b] of [[both![0]!, alone![1]!], [both![1]!, alone![0]!]] as const) {
      const x = toFloat32(a), y = toFloat32(b), most = x.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      const apart = x.reduce((max, v, i) => Math.max(max, Math.abs(v - y[i]!)), 0);
      assert.ok(most > 0 && apart <= TOLERANCE * most, `${apart} apart, largest entry ${most}`);
    }
  });

  generating(
    "text is at most as long as asked for, of the verifier's tokens, and again the same",
    async (engine) => {
      const request = { tokens: sample(engine, 5), maxTokens: 6, eosTokenIds: [] };
      const first = await engine.generate(request), again = await engine.generate(request);
      assert.ok(first.length > 0 && first.length <= 6, `${first.length} tokens`);
      for (const id of first) assert.ok(id >= 0 && id < engine.info.vocabSize, `token ${id}`);
      assert.deepEqual(again, first);
    },
  );

  generating("text ends at the tokens that end it", async (engine) => {
    const request = { tokens: sample(engine, 5), maxTokens: 6 };
    const [first] = await engine.generate({ ...request, eosTokenIds: [] });
    const ended = await engine.generate({ ...request, eosTokenIds: [first!] });
    assert.ok(ended.length <= 1, `${ended.length} tokens, the first of which should have ended it`);
  });
}
