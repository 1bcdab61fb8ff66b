// Each pair of a head's halves rotated by its row's position.
struct Params {
  count: u32, // pairs
  shift: u32,
  heads: u32,
  half: u32, // half the entries of a head
  first: u32, // first row worked here
  rows: u32, // of the tables
  sign: f32, // −1 rotates back
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> sines: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

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
  let head = i / p.half;
  let j = i - head * p.half;
  let row = min(u32(max(positions[p.first + head / p.heads], 0)), p.rows - 1u);
  let c = cosines[row * p.half + j];
  let s = sines[row * p.half + j] * p.sign;
  let at = p.shift + head * 2u * p.half + j;
  let a = x[at];
  let b = x[at + p.half];
  y[at] = a * c - b * s;
  y[at + p.half] = b * c + a * s;
}
