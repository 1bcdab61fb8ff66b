// The largest entries of each row, one after the other: each is the largest of those behind the last one found.
struct Params {
  rows: u32,
  width: u32,
  count: u32,
  shift: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> places: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> values: array<f32, 256>;
var<workgroup> found: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let row = w.y * n.x + w.x;
  let start = p.shift + min(row, p.rows - 1u) * p.width;
  let to = p.to + row * p.count;
  var last = 0.0;
  var last_place = 0u;
  var most = 0.0;
  for (var k = 0u; k < p.count; k++) {
    var place = p.width; // none
    var best = 0.0;
    for (var i = l; i < p.width; i += 256u) {
      let v = x[start + i];
      let behind = k == 0u || v < last || (v == last && i > last_place);
      if (behind && (place == p.width || v > best)) {
        best = v;
        place = i;
      }
    }
    values[l] = best;
    found[l] = place;
    for (var half = 128u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (l < half) {
        let v = values[l + half];
        let q = found[l + half];
        let better = v > values[l] || (v == values[l] && q < found[l]);
        if (q < p.width && (found[l] == p.width || better)) {
          values[l] = v;
          found[l] = q;
        }
      }
    }
    workgroupBarrier();
    last = values[0];
    last_place = found[0];
    if (k == 0u) {
      most = last;
    }
    if (l == 0u && row < p.rows) {
      y[to + k] = last;
      places[to + k] = i32(last_place);
    }
    workgroupBarrier();
  }
  var part = 0.0;
  for (var i = l; i < p.width; i += 256u) {
    part += exponential(x[start + i] - most);
  }
  values[l] = part;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      values[l] += values[l + half];
    }
  }
  workgroupBarrier();
  let shift = most + log(values[0]);
  if (l == 0u && row < p.rows) {
    for (var k = 0u; k < p.count; k++) {
      y[to + k] -= shift;
    }
  }
}
