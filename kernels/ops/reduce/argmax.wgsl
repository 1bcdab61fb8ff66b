// Place of the largest entry of each row, the lowest of equals; a workgroup takes a row.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let row = w.y * n.x + w.x;
  let start = p.shift + min(row, p.rows - 1u) * p.width;
  var place = 0u;
  var best = 0.0;
  if (l < p.width) {
    place = l;
    best = x[start + l];
    for (var i = l + 256u; i < p.width; i += 256u) {
      let v = x[start + i];
      if (v > best) {
        best = v;
        place = i;
      }
    }
  }
  values[l] = best;
  places[l] = place;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half && l + half < p.width) {
      let v = values[l + half];
      let q = places[l + half];
      if (v > values[l] || (v == values[l] && q < places[l])) {
        values[l] = v;
        places[l] = q;
      }
    }
  }
  if (l == 0u && row < p.rows) {
    y[p.to + row] = i32(places[0]);
  }
}
