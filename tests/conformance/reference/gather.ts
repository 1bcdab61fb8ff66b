/** Rows by number. */
import type { ScatterAddAttrs } from "../../../kernels/ops/gather/mod.ts";
import { array } from "./array.ts";
import type { Reference } from "./types.ts";

/** `table[ids]`, zeros for an id outside. */
export const gather: Reference = ([table, ids]) => {
  const width = table!.shape[1] ?? 1, rows = table!.shape[0]!;
  const dtype = table!.dtype === "i32" ? "i32" : "f32";
  const out = array([ids!.shape[0]!, ...table!.shape.slice(1)], undefined, dtype);
  ids!.data.forEach((id, t) => {
    if (id < 0 || id >= rows) return;
    for (let j = 0; j < width; j++) out.data[t * width + j] = table!.data[id * width + j]!;
  });
  return [out];
};

/** Rows added up by number. */
export const scatterAdd: Reference<ScatterAddAttrs> = ([x, ids], { rows }) => {
  const width = x!.shape[1]!, out = array([rows, width]);
  ids!.data.forEach((id, t) => {
    if (id < 0 || id >= rows) return;
    for (let j = 0; j < width; j++) out.data[id * width + j]! += x!.data[t * width + j]!;
  });
  return [out];
};
