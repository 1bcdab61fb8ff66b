/** Text of the kernels that combine two operands; they differ in one expression. */

import { remember } from "../_wgsl.ts";

/** `y[i] = expression` of `a`, `b` and `p.alpha`, with b taken at `i`, at its column or at 0. */
export const binary: (expression: string) => string = remember(writeBinary);

function writeBinary(expression: string): string {
  return `struct Params {
  count: u32,
  a_shift: u32,
  b_shift: u32,
  y_shift: u32,
  first: u32, // number of the first entry worked here
  period: u32, // b repeats after so many entries
  alpha: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

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
  let a = x[p.a_shift + i];
  let b = z[p.b_shift + (p.first + i) % p.period];
  y[p.y_shift + i] = ${expression};
}
`;
}
