/** The suite that every backend passes, and the one that every op passes; both for third parties too. */
import assert from "node:assert/strict";
import type { Backend, Op } from "../../core/tensor.ts";
import * as builtin from "../../kernels/ops/mod.ts";
import { OP_CASES } from "./cases/mod.ts";
import { checkOp } from "./check_op.ts";
import { PROMISES } from "./contract.ts";
import type { AnyOpCases } from "./op_cases.ts";
import { type Register, registrarOf } from "./register.ts";

/** Makes a backend of its own, which the test disposes of. */
export type Open = () => Promise<Backend>;

/** How a suite is run. */
export interface SuiteOptions {
  /** Registers each test; `Deno.test` if absent. */
  readonly test?: Register;
  /** Cases of further ops, run as the built-in ones are. */
  readonly ops?: readonly AnyOpCases[];
}

/** The ops among a module's exports. */
export function opsOf(module: Readonly<Record<string, unknown>>): Op<never>[] {
  return Object.values(module).filter((value): value is Op<never> =>
    typeof value === "object" && value !== null && "infer" in value && "name" in value
  );
}

/**
 * Everything a backend promises, as tests: each op against its reference in double precision, gradients against
 * differences of that reference, transfers, scopes, memory, order.
 *
 * @param name the backend's, as it is to stand in the tests' names
 */
export function backendSuite(name: string, open: Open, options: SuiteOptions = {}): void {
  const test = registrarOf(options);
  test(`Every built-in op has cases to be run on ${name}`, () => {
    const known = OP_CASES.map((cases) => cases.op.name).sort();
    assert.deepEqual(opsOf(builtin).map((op) => op.name).sort(), known);
    return Promise.resolve();
  });
  for (const [promise, run] of Object.entries(PROMISES)) {
    test(`A backend ${promise}, on ${name}`, async () => {
      using backend = await open();
      await run(backend);
    });
  }
  for (const cases of [...OP_CASES, ...options.ops ?? []]) opSuite(cases, open, { ...options, name });
}

/** How an op's suite is run. */
export interface OpSuiteOptions extends SuiteOptions {
  /** The backend's name in the test's name. */
  readonly name?: string;
}

/**
 * One test: all cases of an op, built-in or a plugin's own, on one backend. Values against the reference, inputs left
 * as they are, gradients through a tape, refusals, and nothing left in memory.
 */
export function opSuite(cases: AnyOpCases, open: Open, options: OpSuiteOptions = {}): void {
  const { name = "the backend" } = options;
  registrarOf(options)(`${cases.op.name} agrees with its reference on ${name}`, async () => {
    using backend = await open();
    await checkOp(backend, cases);
  });
}
