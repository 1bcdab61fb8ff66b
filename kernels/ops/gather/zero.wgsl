// Words of zero.
struct Params {
  start: u32,
  end: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = p.start + (w.y * n.x + w.x) * 256u + l;
  if (i < p.end) {
    y[i] = 0u;
  }
}
