/** Reproducible inputs: each case draws from its own stream, seeded by its name. */
import { type DType, elements, isBlocks, type Shape } from "../../core/tensor.ts";
import { array, type HostArray, round } from "./reference/array.ts";
import { fromBlocks, toBlocks } from "./reference/blocks.ts";

/** Uniform numbers from 0 up to 1. */
export type Random = () => number;

/** Draws one input. */
export type Source = (random: Random) => HostArray;

/** A stream that depends on the text only (mulberry32 over an FNV-1a hash). */
export function randomOf(text: string): Random {
  let state = 2166136261;
  for (const char of text) state = Math.imul(state ^ char.codePointAt(0)!, 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** One normally distributed number (Box and Muller 1958). */
export function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Normally distributed entries, rounded to the dtype. */
export function normal(shape: Shape, dtype: DType = "f32", scale = 1): Source {
  return (random) => {
    if (isBlocks(dtype)) {
      const data = Float64Array.from({ length: elements(shape) }, () => scale * gauss(random));
      return array(shape, fromBlocks(toBlocks(data, dtype), dtype), dtype);
    }
    const data = Float64Array.from({ length: elements(shape) }, () => round(scale * gauss(random), dtype));
    return array(shape, data, dtype);
  };
}

/** Normally distributed entries without their sign. */
export function positive(shape: Shape): Source {
  return (random) => {
    const data = Float64Array.from({ length: elements(shape) }, () => Math.fround(Math.abs(gauss(random))));
    return array(shape, data);
  };
}

/** Whole numbers from `low` up to `high`, without it. */
export function integers(shape: Shape, low: number, high: number): Source {
  return (random) => {
    const draw = () => low + Math.floor(random() * (high - low));
    return array(shape, Float64Array.from({ length: elements(shape) }, draw), "i32");
  };
}

/** Exactly these entries. */
export function exactly(shape: Shape, data: readonly number[], dtype: DType = "f32"): Source {
  return () => array(shape, data.map((value) => round(value, dtype)), dtype);
}

/** All inputs of a case, one after the other. */
export function inputs(...sources: readonly Source[]): (random: Random) => HostArray[] {
  return (random) => sources.map((source) => source(random));
}
