// A rectangle of zeros with a smaller one copied into it.
struct Params {
  rows: u32,
  width: u32,
  from_shift: u32,
  from_width: u32,
  to_shift: u32,
  row_start: u32,
  row_end: u32,
  column_start: u32,
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
  let inside = row >= p.row_start && row < p.row_end &&
    column >= p.column_start && column < p.column_start + p.from_width;
  var word = 0u;
  if (inside) {
    word = x[p.from_shift + (row - p.row_start) * p.from_width + column - p.column_start];
  }
  y[p.to_shift + i] = word;
}
