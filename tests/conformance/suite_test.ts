import assert from "node:assert/strict";
import type { Op, Tensor } from "../../core/tensor.ts";
import { add } from "../../kernels/ops/mod.ts";
import { OP_CASES } from "./cases/mod.ts";
import { checkOp } from "./check_op.ts";
import { difference } from "./compare.ts";
import type { AnyOpCases, OpCase } from "./op_cases.ts";
import { array, type HostArray } from "./reference/array.ts";
import { ReferenceBackend } from "./reference/backend.ts";
import type { Reference } from "./reference/types.ts";

/** Runs an op's cases with an implementation that does something else. */
function checkAs({ op, ...rest }: AnyOpCases, other: Reference): Promise<void> {
  return checkOp(new ReferenceBackend({ [op.name]: other as Reference<never> }), { op, ...rest });
}

/** Changes the last entry of the last output that has any, by a share of that output's largest entry. */
function nudge(outputs: HostArray[], share: number): HostArray[] {
  const last = outputs.findLastIndex(({ data }) => data.length > 0);
  return outputs.map((output, i) => {
    if (i !== last) return output;
    const data = output.data.slice(), size = data.reduce((top, x) => Math.max(top, Math.abs(x)), 0);
    data[data.length - 1]! += output.dtype === "f32" ? share * size : 1;
    return { ...output, data };
  });
}

function valuesOnly({ gradient: _, ...one }: OpCase<object>): OpCase<object> {
  return one;
}

Deno.test("The suite sees one entry that is off by a ten-thousandth, in every op", async () => {
  for (const suite of OP_CASES.filter(({ op }) => !op.compose)) {
    const { op, reference } = suite, cases = { ...suite, cases: suite.cases.map(valuesOnly) };
    await assert.rejects(
      checkAs(cases, (inputs, attrs) => nudge(reference(inputs, attrs), 1e-4)),
      /values .*differ/,
      op.name,
    );
  }
});

Deno.test("The suite sees a gradient that is off by a thousandth, in every op that has one", async () => {
  const differentiable = OP_CASES.filter(({ cases }) => cases.some(({ gradient }) => gradient));
  assert.ok(differentiable.length > 10);
  for (const cases of differentiable) {
    const op: Op = {
      ...cases.op,
      grad: (run, call) => {
        const gradients = cases.op.grad!(run, call) as (Tensor | null)[];
        return gradients.map((gradient) => gradient && add(run, gradient, gradient, { alpha: 1e-3 }));
      },
    };
    const backend = new ReferenceBackend();
    const message = /along a random direction|at entry/;
    await assert.rejects(checkOp(backend, { ...cases, op }), message, op.name);
  }
});

Deno.test("The suite sees an input that is changed, and an output that is not the aliased input", async () => {
  const cases = OP_CASES.find(({ op }) => op.name === "mul")!;
  const meddle: Reference = (inputs, attrs) => {
    const outputs = cases.reference(inputs, attrs);
    inputs[0]!.data.fill(7);
    return outputs;
  };
  await assert.rejects(checkAs(cases, meddle), /an input was changed/);
  const writes = OP_CASES.find(({ op }) => op.name === "write_rows")!, { alias: _, ...op } = writes.op;
  const backend = new ReferenceBackend(), aliased = { ...op, alias: { 0: 0 } };
  const copying = { run: backend.run.bind(backend) };
  Object.defineProperty(backend, "run", {
    value: (called: Op, inputs: Tensor[], attrs: object) =>
      copying.run(called.name === "write_rows" ? op as Op : called, inputs, attrs),
  });
  await assert.rejects(checkOp(backend, { ...writes, op: aliased }), /not the tensor of input 0/);
});

Deno.test("The suite sees memory that is not freed, and a refusal that is none", async () => {
  const cases = OP_CASES.find(({ op }) => op.name === "swiglu")!;
  const leaky = new ReferenceBackend(), live = leaky.memory.bind(leaky);
  let calls = 0;
  leaky.memory = () => ({ live: live().live + calls++, peak: live().peak });
  await assert.rejects(checkOp(leaky, cases), /bytes are not freed/);
  const lenient = {
    ...cases.op,
    infer: (inputs: readonly { shape: readonly number[]; dtype: "f32" }[]) => [inputs[0]!],
  };
  await assert.rejects(
    checkOp(new ReferenceBackend(), { ...cases, op: lenient as Op }),
    /expected a ShapeError/,
  );
});

Deno.test("A difference says where and how much, and a NaN or an infinity never passes", () => {
  const expected = array([3], [1, 2, 1e30]);
  assert.equal(difference(array([3], [1, 2.000001, 1e30]), expected, { largest: 1e-6 }), null);
  assert.match(
    difference(array([3], [1, 2.1, 1e30]), expected, { largest: 1e-6 })!,
    /1 of 3 .* worst at 1: expected 2, received 2.1/,
  );
  for (const bad of [NaN, Infinity, -Infinity]) {
    assert.ok(difference(array([3], [1, bad, 1e30]), expected, { largest: 1, entry: 1 }));
  }
  assert.equal(difference(array([1], [NaN]), array([1], [NaN]), {}), null);
  assert.match(difference(array([2, 1]), array([2]), {})!, /expected f32\[2\], received f32\[2, 1\]/);
  assert.ok(difference(array([1], [2], "i32"), array([1], [1], "i32"), { largest: 5 }));
});
