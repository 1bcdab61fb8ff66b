import assert from "node:assert/strict";
import { ConfigError } from "../../../core/errors.ts";
import { toFloat32 } from "../../../core/formats/dtype.ts";
import { openVerifier } from "../../../core/verifier.ts";
import { ReferenceBackend } from "../../../tests/conformance/reference/backend.ts";
import { golden, goldenJson } from "../../../tests/golden.ts";
import { builtins } from "../../mod.ts";
import plugin from "./mod.ts";

const SAMPLES = [5, 2, 9, 1].map((length, i) => Int32Array.from({ length }, (_, j) => (7 * i + 3 * j) % 100));

/** The engine on the first golden verifier that a built-in plugin reads. */
async function openEngine() {
  const registry = builtins();
  for (const name of Object.keys(goldenJson<{ cases: object }>("verifiers", "manifest.json").cases)) {
    const folder = golden("verifiers", name);
    if (
      !await registry.find("verifier", (one) => one.matches(goldenJson("verifiers", name, "config.json")))
    ) {
      continue;
    }
    using opened = await openVerifier(folder, { registry });
    return await plugin.open({
      info: opened.info,
      loadVerifier: () => opened.load(new ReferenceBackend()),
    });
  }
  throw new Error("no golden verifier is supported");
}

Deno.test("hidden states of samples do not depend on which are captured together", async () => {
  using engine = await openEngine();
  const layers = [2, engine.info.layers];
  const together = await engine.capture(SAMPLES, layers);
  for (const [i, tokens] of SAMPLES.entries()) {
    const [alone] = await engine.capture([tokens], layers);
    for (const [place, states] of alone!.entries()) {
      const got = together[i]![place]!;
      assert.deepEqual([...got.shape], [tokens.length, engine.info.hiddenSize]);
      const a = toFloat32(got), b = toFloat32(states);
      b.forEach((x, j) => assert.ok(Math.abs(x - a[j]!) <= 1e-5 * (1 + Math.abs(x))));
    }
  }
});

Deno.test("greedy text is the same every time and stops at the tokens that end it", async () => {
  using engine = await openEngine();
  const request = { tokens: SAMPLES[0]!, maxTokens: 6, eosTokenIds: [] };
  const text = await engine.generate(request);
  assert.equal(text.length, 6);
  assert.deepEqual(await engine.generate(request), text);
  const end = text[2]!;
  const stopped = await engine.generate({ ...request, eosTokenIds: [end] });
  assert.deepEqual([...stopped], [...text.slice(0, text.indexOf(end) + 1)]);
});

Deno.test("sampled text has tokens of the vocabulary and the length asked for", async () => {
  using engine = await openEngine();
  const { vocabSize } = engine.info;
  const text = await engine.generate({ tokens: SAMPLES[1]!, maxTokens: 5, temperature: 1, eosTokenIds: [] });
  assert.equal(text.length, 5);
  assert.ok(text.every((id) => id >= 0 && id < vocabSize));
});

Deno.test("samples that are empty or hold ids outside the vocabulary are refused by number", async () => {
  using engine = await openEngine();
  const { vocabSize } = engine.info;
  for (const bad of [new Int32Array(0), Int32Array.of(1, vocabSize), Int32Array.of(-1)]) {
    await assert.rejects(
      engine.capture([SAMPLES[0]!, bad], [0]),
      (error) => error instanceof ConfigError && /sample 1/.test(error.message),
    );
  }
});
