// The first row of x that goes to each row of the output.
struct Params {
  count: u32, // rows of x
  low: u32, // rows of the output worked here
  high: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read_write> first: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let t = (w.y * n.x + w.x) * 256u + l;
  if (t >= p.count) {
    return;
  }
  let row = bitcast<u32>(ids[t]); // negative ids become large
  if (row >= p.low && row < p.high) {
    atomicMin(&first[row - p.low], t);
  }
}
