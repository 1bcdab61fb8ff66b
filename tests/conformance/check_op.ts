/** All cases of one op on one backend: values, shapes, what must not change, gradients, refusals, memory. */
import assert from "node:assert/strict";
import { ShapeError } from "../../core/errors.ts";
import { Tape } from "../../core/tape.ts";
import {
  type Attrs,
  type Backend,
  describe,
  elements,
  type Tensor,
  type TypedArray,
} from "../../core/tensor.ts";
import { add, addOp, mul, sum } from "../../kernels/ops/mod.ts";
import { difference } from "./compare.ts";
import { slopeDifference } from "./finite_difference.ts";
import type { OpCase, OpCases } from "./op_cases.ts";
import { normal, type Random, randomOf } from "./random.ts";
import { array, fromTyped, type HostArray, toHost } from "./reference/array.ts";

/** Work that is appended, and what to do once it can be read: it gives what is wrong, in words. */
export interface Pending {
  /** To be read. */
  readonly tensors: readonly Tensor[];
  /** Looks at what was read. */
  check(data: readonly TypedArray[]): string[];
}

/** Fills memory with NaN and frees it, so that a kernel which does not write its whole output is seen. */
function soil(backend: Backend, specs: readonly { readonly shape: readonly number[] }[]): void {
  for (const { shape } of specs) {
    backend.from(new Float32Array(elements(shape)).fill(NaN), shape)[Symbol.dispose]();
  }
}

/** Uploads the inputs; repeated ones are one tensor. */
export function uploadAll(
  backend: Backend,
  arrays: readonly HostArray[],
  repeats: Readonly<Record<number, number>> = {},
): Tensor[] {
  const tensors: Tensor[] = [];
  arrays.forEach((input, i) => {
    const same = repeats[i];
    tensors.push(same === undefined ? backend.upload(toHost(input)) : tensors[same]!);
  });
  return tensors;
}

/** The inputs that a case draws. */
export function drawn<A extends Attrs>(
  { op }: OpCases<A>,
  one: OpCase<A>,
): { arrays: HostArray[]; random: Random } {
  const random = randomOf(`${op.name} ${one.name}`), arrays = one.inputs(random);
  for (const [i, j] of Object.entries(one.repeats ?? {})) arrays[Number(i)] = arrays[j]!;
  return { arrays, random };
}

function values<A extends Attrs>(backend: Backend, suite: OpCases<A>, one: OpCase<A>): Pending {
  const { op } = suite, { arrays } = drawn(suite, one), problems: string[] = [];
  const tensors = uploadAll(backend, arrays, one.repeats);
  const specs = op.infer(tensors, one.attrs);
  soil(backend, specs);
  const outputs = backend.run(op, tensors, one.attrs);
  if (outputs.map(describe).join() !== specs.map(describe).join()) {
    problems.push(`expected ${specs.map(describe).join()}, received ${outputs.map(describe).join()}`);
  }
  for (const [i, j] of Object.entries(op.alias ?? {})) {
    if (outputs[Number(i)] !== tensors[j]) problems.push(`output ${i} is not the tensor of input ${j}`);
  }
  const expected = suite.reference(arrays, one.attrs), changed = Object.values(op.alias ?? {});
  const tolerance = one.tolerance ?? suite.tolerance ?? { largest: 2e-6 };
  const untouched = tensors.filter((_, j) => !changed.includes(j));
  return {
    tensors: [...outputs, ...untouched],
    check(data) {
      outputs.forEach((output, i) => {
        const problem = difference(fromTyped(data[i]!, output), expected[i]!, tolerance);
        if (problem) problems.push(`output ${i}: ${problem}`);
      });
      arrays.filter((_, j) => !changed.includes(j)).forEach((input, k) => {
        const got = fromTyped(data[outputs.length + k]!, input), problem = difference(got, input, {});
        if (problem) problems.push(`an input was changed: ${problem}`);
      });
      return problems;
    },
  };
}

function gradients<A extends Attrs>(backend: Backend, suite: OpCases<A>, one: OpCase<A>): Pending {
  const { op } = suite, { arrays, random } = drawn(suite, one), wanted = one.gradient ?? [];
  const through = suite.differentiable ?? [0];
  const tensors = uploadAll(backend, arrays, one.repeats), wrt = wanted.map((i) => tensors[i]!);
  const tape = new Tape(backend, { addOp }).watch(wrt);
  const outputs = tape.run(op, tensors, one.attrs);
  const weights = through.map((i) => normal(outputs[i]!.shape)(random));
  const loss = through.map((i, k) =>
    sum(tape.run, mul(tape.run, outputs[i]!, backend.upload(toHost(weights[k]!))))
  )
    .reduce((all, part) => add(tape.run, all, part));
  const found = tape.gradients(loss, wrt);
  const lossOf = (inputs: readonly HostArray[]) => {
    const results = suite.reference(inputs, one.attrs);
    return through.reduce(
      (all, i, k) => results[i]!.data.reduce((part, x, j) => part + x * weights[k]!.data[j]!, all),
      0,
    );
  };
  return {
    tensors: found,
    check: (data) =>
      wanted.flatMap((i, k) => {
        const moved = arrays.map((_, j) => j).filter((j) => tensors[j] === tensors[i]);
        const { shape } = tensors[i]!, gradient = fromTyped(data[k]!, found[k]!);
        const shapeProblem = difference(array(shape), {
          ...gradient,
          data: new Float64Array(elements(shape)),
        }, {});
        const problem = shapeProblem ??
          slopeDifference(
            { loss: lossOf, inputs: arrays, moved, gradient: gradient.data, tolerance: 3e-5 },
            random,
          );
        return problem ? [`gradient by input ${i}: ${problem}`] : [];
      }),
  };
}

function refusals<A extends Attrs>(backend: Backend, { op, refusals = [] }: OpCases<A>): string[] {
  return refusals.flatMap(({ name, inputs, attrs }) => {
    using _scope = backend.scope();
    const tensors = inputs.map(({ shape, dtype }) => backend.zeros(shape, dtype));
    const before = backend.memory().live;
    try {
      backend.run(op, tensors, attrs);
    } catch (error) {
      if (!(error instanceof ShapeError)) return [`${name}: expected a ShapeError, received ${error}`];
      const rest = backend.memory().live - before;
      return rest === 0 ? [] : [`${name}: the refused call left ${rest} bytes`];
    }
    return [`${name}: expected a ShapeError, received a result`];
  });
}

/** Reads everything at once and gathers what is wrong. */
export async function settle(backend: Backend, pending: ReadonlyMap<string, Pending>): Promise<string[]> {
  const data = await backend.readAll([...pending.values()].flatMap(({ tensors }) => tensors));
  let at = 0;
  return [...pending].flatMap(([name, { tensors, check }]) => {
    const part = data.slice(at, at + tensors.length);
    at += tensors.length;
    return check(part).map((problem) => `${name}: ${problem}`);
  });
}

/** Checks an op on an open backend. @throws {AssertionError} that lists everything that is wrong */
export async function checkOp<A extends Attrs>(backend: Backend, suite: OpCases<A>): Promise<void> {
  const { op } = suite, start = backend.memory().live, problems: string[] = [];
  {
    using _scope = backend.scope();
    const pending = new Map<string, Pending>();
    for (const one of suite.cases) {
      const stages = [values, ...(one.gradient ? [gradients] : [])];
      for (const stage of stages) {
        try {
          pending.set(`${stage.name} ${one.name}`, stage(backend, suite, one));
        } catch (error) {
          problems.push(`${stage.name} ${one.name}: ${error instanceof Error ? error.stack : error}`);
        }
      }
    }
    problems.push(...await settle(backend, pending), ...refusals(backend, suite));
  }
  const rest = backend.memory().live - start;
  if (rest !== 0) problems.push(`${rest} bytes are not freed`);
  assert.ok(problems.length === 0, `"${op.name}" is wrong on ${backend.name}:\n- ${problems.join("\n- ")}`);
}
