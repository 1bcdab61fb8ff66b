/** Text of the gather: only the table's dtype differs. */
import type { DType } from "../../../core/tensor.ts";
import { arrayOf, loader, remember } from "../_wgsl.ts";

/** One run of the table's rows; with `first` the ids outside the whole table are set to zero too. */
export const gatherCode: (dtype: DType) => string = remember(writeGatherCode);

function writeGatherCode(dtype: DType): string {
  const out = dtype === "i32" ? "i32" : "f32";
  const load = dtype === "i32"
    ? "fn load(i: u32) -> i32 { return table[i]; }"
    : loader("load", "table", dtype);
  return `struct Params {
  count: u32, // elements of the output
  width: u32,
  shift: u32,
  low: u32, // rows of the table worked here
  high: u32,
  rows: u32,
  first: u32,
  y_shift: u32,
  ids_from: u32,
}

@group(0) @binding(0) var<storage, read> table: ${arrayOf(dtype)};
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<${out}>;
@group(0) @binding(3) var<uniform> p: Params;

${load}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.count) {
    return;
  }
  let t = i / p.width;
  let id = bitcast<u32>(ids[p.ids_from + t]); // negative ids become large
  if (id >= p.low && id < p.high) {
    y[p.y_shift + i] = load(p.shift + (id - p.low) * p.width + i - t * p.width);
  } else if (id >= p.rows && p.first == 1u) {
    y[p.y_shift + i] = ${out}(0);
  }
}
`;
}
