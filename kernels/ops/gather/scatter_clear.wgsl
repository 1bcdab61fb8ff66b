// Zeros in the output, and nobody as the first row of x of any of its rows.
struct Params {
  width: u32,
  start: u32,
  rows: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i < p.rows * p.width) {
    y[p.start + i] = 0.0;
  }
  if (i < p.rows) {
    first[i] = 0xffffffffu;
  }
}
