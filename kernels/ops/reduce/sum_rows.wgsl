// Column sums of 64 rows each; repeated until one row is left.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  to: u32, // row of the first sum
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) w: vec3<u32>) {
  let column = id.x;
  if (column >= p.width) {
    return;
  }
  let start = w.y * 64u;
  let end = min(start + 64u, p.rows);
  var sum = 0.0;
  for (var base = start; base < end; base += 8u) {
    var part = 0.0;
    for (var row = base; row < min(base + 8u, end); row++) {
      part += x[p.shift + row * p.width + column];
    }
    sum += part;
  }
  y[(p.to + w.y) * p.width + column] = sum;
}
