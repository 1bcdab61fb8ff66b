// An invocation an entry: 0 at the row's token, `rest` elsewhere.
struct Params {
  entries: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first row worked here
  rest: f32,
}

@group(0) @binding(0) var<storage, read> labels: array<i32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

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
  let here = labels[p.first + row] == i32(i - row * p.width);
  out[p.shift + i] = select(p.rest, 0.0, here);
}
