/** Text of the norm and of its gradient: a workgroup takes one run of entries. */
import { remember } from "../_wgsl.ts";

const HEAD = (size: number) => `
var<workgroup> part: array<f32, ${size}>;

fn total(l: u32, value: f32) -> f32 {
  part[l] = value;
  for (var half = ${size / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  workgroupBarrier();
  let sum = part[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(${size})
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let group = w.y * n.x + w.x;
  let start = p.shift + min(group, p.groups - 1u) * p.width;
`;

const PARAMS = `struct Params {
  groups: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first group worked here
  eps: f32,
}
`;

/** `weight · x / sqrt(mean(x²) + eps)` with `size` invocations a workgroup. */
export const normCode: (size: number) => string = remember(writeNormCode);

function writeNormCode(size: number): string {
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
${HEAD(size)}
  var squares = 0.0;
  for (var i = l; i < p.width; i += ${size}u) {
    let v = x[start + i];
    squares += v * v;
  }
  let r = 1.0 / sqrt(total(l, squares) / f32(p.width) + p.eps);
  if (group < p.groups) {
    for (var i = l; i < p.width; i += ${size}u) {
      y[start + i] = weight[i] * (x[start + i] * r);
    }
  }
}
`;
}

/** dx, and each group's `1 / sqrt(mean(x²) + eps)`, which the weight's gradient needs. */
export const normGradCode: (size: number) => string = remember(writeNormGradCode);

function writeNormGradCode(size: number): string {
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> roots: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;
${HEAD(size)}
  var squares = 0.0;
  var dots = 0.0;
  for (var i = l; i < p.width; i += ${size}u) {
    let v = x[start + i];
    squares += v * v;
    dots += v * weight[i] * dout[start + i];
  }
  let r = 1.0 / sqrt(total(l, squares) / f32(p.width) + p.eps);
  let pull = total(l, dots) * r * r / f32(p.width);
  if (group < p.groups) {
    for (var i = l; i < p.width; i += ${size}u) {
      var d = r * (weight[i] * dout[start + i] - x[start + i] * pull);
      if (p.width == 1u) { // the two terms would cancel down to what eps leaves
        d = r * r * r * p.eps * weight[i] * dout[start + i];
      }
      dx[start + i] = d;
    }
    if (l == 0u) {
      roots[p.first + group] = r;
    }
  }
}
`;
}
