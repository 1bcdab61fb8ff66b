/** What the suite needs to know of an op. */
import type { Attrs, Op, Spec } from "../../core/tensor.ts";
import type { HostArray } from "./reference/array.ts";
import type { Reference } from "./reference/types.ts";
import type { Random } from "./random.ts";

/** How far a result may be from its reference; the sum of the terms counts. Integers and 16-bit floats: not at all. */
export interface Tolerance {
  /** Share of the expected entry. */
  readonly entry?: number;
  /** Share of the largest expected entry of the tensor. */
  readonly largest?: number;
  /** As it is, where the expected result is 0 but for rounding. */
  readonly absolute?: number;
}

/** One call of an op. */
export interface OpCase<A extends Attrs> {
  /** What is special about it, as the end of a sentence. */
  readonly name: string;
  /** Draws the inputs. */
  readonly inputs: (random: Random) => HostArray[];
  /** Attributes of the call. */
  readonly attrs: A;
  /** Inputs whose gradients are compared with differences of the reference. */
  readonly gradient?: readonly number[];
  /** `repeats[i] = j`: input i is the very tensor of input j. */
  readonly repeats?: Readonly<Record<number, number>>;
  /** Instead of the op's. */
  readonly tolerance?: Tolerance;
}

/** A call that must throw a `ShapeError`. */
export interface Refusal<A extends Attrs> {
  /** What does not fit. */
  readonly name: string;
  /** Shapes and dtypes of the inputs. */
  readonly inputs: readonly Spec[];
  /** Attributes of the call. */
  readonly attrs: A;
}

/** An op, its reference, and the calls that show it right. */
export interface OpCases<A extends Attrs = Attrs> {
  /** The op. */
  readonly op: Op<A>;
  /** Its outputs by the plainest means. */
  readonly reference: Reference<A>;
  /** How far results may be off; 2e-6 of the largest entry if absent. */
  readonly tolerance?: Tolerance;
  /** Outputs through which gradients flow; the first if absent. */
  readonly differentiable?: readonly number[];
  /** Calls that work. */
  readonly cases: readonly OpCase<A>[];
  /** Calls that are refused. */
  readonly refusals?: readonly Refusal<A>[];
}

/** Cases of ops with different attributes in one list. */
// deno-lint-ignore no-explicit-any -- `Op` is invariant in its attributes, and each entry fits its own.
export type AnyOpCases = OpCases<any>;
