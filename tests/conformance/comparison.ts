/** Two backends against each other, without a reference between them. */
import assert from "node:assert/strict";
import type { Attrs, Backend, Tensor } from "../../core/tensor.ts";
import type { Open, SuiteOptions } from "./backend.ts";
import { OP_CASES } from "./cases/mod.ts";
import { drawn, uploadAll } from "./check_op.ts";
import { difference } from "./compare.ts";
import type { AnyOpCases, OpCase, OpCases } from "./op_cases.ts";
import { fromTyped, type HostArray } from "./reference/array.ts";
import { registrarOf } from "./register.ts";

async function outputs<A extends Attrs>(
  backend: Backend,
  suite: OpCases<A>,
  cases: readonly OpCase<A>[],
): Promise<HostArray[][]> {
  using _scope = backend.scope();
  const found = cases.map((one): Tensor[] => {
    const tensors = uploadAll(backend, drawn(suite, one).arrays, one.repeats);
    return backend.run(suite.op, tensors, one.attrs);
  });
  const data = await backend.readAll(found.flat());
  return found.map((tensors) => tensors.map((tensor) => fromTyped(data.shift()!, tensor)));
}

/**
 * One test an op: the same inputs give the same outputs on two backends, within twice what each may differ from the
 * reference; integers and 16-bit floats exactly.
 *
 * @param name both backends' names, as they are to stand in the tests' names
 */
export function comparisonSuite(name: string, pair: readonly [Open, Open], options: SuiteOptions = {}): void {
  for (const suite of [...OP_CASES, ...options.ops ?? []] as AnyOpCases[]) {
    registrarOf(options)(`${suite.op.name} is the same on ${name}`, async () => {
      const { cases, tolerance = { largest: 2e-6 } } = suite, found: HostArray[][][] = [];
      for (const open of pair) {
        using backend = await open();
        found.push(await outputs(backend, suite, cases));
      }
      const problems = cases.flatMap((one, i) =>
        found[0]![i]!.flatMap((first, k) => {
          const { entry = 0, largest = 0, absolute = 0 } = one.tolerance ?? tolerance;
          const both = { entry: 2 * entry, largest: 2 * largest, absolute: 2 * absolute };
          const problem = difference(found[1]![i]![k]!, first, both);
          return problem ? [`${one.name}, output ${k}: ${problem}`] : [];
        })
      );
      assert.ok(problems.length === 0, `"${suite.op.name}" differs:\n- ${problems.join("\n- ")}`);
    });
  }
}
