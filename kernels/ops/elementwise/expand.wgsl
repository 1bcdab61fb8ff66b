// One scalar everywhere.
struct Params {
  count: u32,
  shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i < p.count) {
    y[p.shift + i] = x[0];
  }
}
