// One rectangle of a matrix copied into another; words are moved as they are.
struct Params {
  rows: u32,
  width: u32,
  from_start: u32,
  from_stride: u32,
  to_start: u32,
  to_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.rows * p.width) {
    return;
  }
  let row = i / p.width;
  let column = i - row * p.width;
  y[p.to_start + row * p.to_stride + column] = x[p.from_start + row * p.from_stride + column];
}
