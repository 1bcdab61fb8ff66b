/** What a reference is. */
import type { Attrs } from "../../../core/tensor.ts";
import type { HostArray } from "./array.ts";

/**
 * An op's outputs from its inputs, by the plainest loop, in double precision. Results need not be rounded to the dtype;
 * inputs must not be changed, also where the op works in place.
 */
export type Reference<A extends Attrs = Attrs> = (
  inputs: readonly HostArray[],
  attrs: A,
) => HostArray[];
