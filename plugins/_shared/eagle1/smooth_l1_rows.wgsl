// A workgroup takes a row: s(d) = d²/2 where |d| < 1, |d| − 1/2 elsewhere; its slope is d, cut off at ±1.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first row worked here
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> goal: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let row = w.y * n.x + w.x;
  let real = row < p.rows;
  let start = p.shift + min(row, p.rows - 1u) * p.width;
  let weight = weights[p.first + min(row, p.rows - 1u)];
  let width = select(0u, p.width, real);
  let share = weight / f32(max(p.width, 1u));

  var total = 0.0;
  for (var i = l; i < width; i += 256u) {
    if (weight == 0.0) {
      dx[start + i] = 0.0;
      continue;
    }
    let d = x[start + i] - goal[start + i];
    let size = abs(d);
    total += select(size - 0.5, 0.5 * d * d, size < 1.0);
    dx[start + i] = share * clamp(d, -1.0, 1.0);
  }
  part[l] = total;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  if (l == 0u && real) {
    loss[p.first + row] = share * part[0];
  }
}
