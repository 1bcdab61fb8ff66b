import assert from "node:assert/strict";
import { addGaussian, addUniform, drawNoise } from "./noise.ts";
import { PythonRandom } from "./random.ts";
import { goldenJson } from "../../tests/golden.ts";

interface NoiseCase {
  transform: string;
  std: number;
  input: number[][];
  drawn: number[][];
  output: number[][];
}

Deno.test("noise is upstream's for the numbers drawn there, to one rounding of f32", () => {
  const cases = goldenJson<NoiseCase[]>("batches", "noise.json");
  assert.ok(cases.length > 0);
  for (const c of cases) {
    const add = c.transform.includes("Gaussian") ? addGaussian : addUniform;
    const [input, drawn, output] = [c.input.flat(), c.drawn.flat(), c.output.flat()];
    for (const [i, x] of input.entries()) {
      const ulp = Math.max(Math.abs(output[i]!), 2 ** -10) * 2 ** -23;
      const gap = Math.abs(add(x, drawn[i]!, c.std) - output[i]!);
      assert.ok(gap <= ulp, `${c.transform} element ${i}: off by ${gap}`);
    }
  }
});

Deno.test("drawn noise has the mean and spread asked for", () => {
  const random = new PythonRandom(1);
  for (const [kind, spread] of [["uniform", 0.1 / Math.sqrt(3)], ["gaussian", 0.1]] as const) {
    const values = new Float32Array(20000);
    drawNoise(values, { kind, std: 0.1, random: () => random.float() });
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    assert.ok(Math.abs(mean) < 0.003, `mean ${mean}`);
    assert.ok(Math.abs(deviation - spread) < 0.003, `deviation ${deviation}`);
  }
});
