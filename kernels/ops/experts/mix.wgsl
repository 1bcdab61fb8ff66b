// rows[t] + the weighted sum of the rows of y that belong to t
struct Params {
  entries: u32,
  width: u32,
  count: u32,
  shift: u32,
  y_shift: u32,
  w_shift: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.entries) {
    return;
  }
  let row = i / p.width;
  let column = i % p.width;
  var total = 0.0;
  for (var k = 0u; k < p.count; k++) {
    let choice = row * p.count + k;
    total += weights[p.w_shift + choice] * y[p.y_shift + choice * p.width + column];
  }
  out[p.shift + i] = rows[p.shift + i] + total;
}
