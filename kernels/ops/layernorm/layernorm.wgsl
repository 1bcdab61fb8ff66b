// weight · (x − mean) / sqrt(variance + eps) + bias; a workgroup takes a row.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

var<workgroup> parts: array<f32, 64>;

fn total(l: u32, part: f32) -> f32 {
  workgroupBarrier();
  parts[l] = part;
  for (var half = 32u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      parts[l] += parts[l + half];
    }
  }
  workgroupBarrier();
  return parts[0];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let row = w.y * n.x + w.x;
  let start = p.shift + min(row, p.rows - 1u) * p.width;
  var sum = 0.0;
  for (var i = l; i < p.width; i += 64u) {
    sum += x[start + i];
  }
  let mean = total(l, sum) / f32(p.width);
  // The mean is rounded: what is left of it counts where a row's entries are almost equal.
  var squares = 0.0;
  var left = 0.0;
  for (var i = l; i < p.width; i += 64u) {
    let d = x[start + i] - mean;
    squares += d * d;
    left += d;
  }
  let rest = total(l, left) / f32(p.width);
  let root = sqrt(total(l, squares) / f32(p.width) - rest * rest + p.eps);
  if (row >= p.rows) {
    return;
  }
  for (var i = l; i < p.width; i += 64u) {
    y[start + i] = weight[i] * ((x[start + i] - mean - rest) / root) + bias[i];
  }
}
