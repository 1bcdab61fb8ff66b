// The weight's gradient, summed over 64 groups by each invocation.
struct Params {
  groups: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first group worked here
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dout: array<f32>;
@group(0) @binding(2) var<storage, read> roots: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) w: vec3<u32>) {
  let column = id.x;
  if (column >= p.width) {
    return;
  }
  let start = w.y * 64u;
  let end = min(start + 64u, p.groups);
  var sum = 0.0;
  for (var base = start; base < end; base += 8u) {
    var part = 0.0;
    for (var group = base; group < min(base + 8u, end); group++) {
      let i = p.shift + group * p.width + column;
      part += x[i] * dout[i] * roots[p.first + group];
    }
    sum += part;
  }
  sums[(p.first / 64u + w.y) * p.width + column] = sum;
}
