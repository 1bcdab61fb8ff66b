// The largest logits of each row, and their shares; a workgroup takes a row.
struct Params {
  rows: u32,
  experts: u32,
  count: u32,
  all: u32, // whether the softmax is over all experts
  shift: u32,
  to: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> chosen: array<i32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

const NONE = 0xffffffffu;

var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

// Whether logit a at i comes before logit b at j.
fn before(a: f32, i: u32, b: f32, j: u32) -> bool {
  return j == NONE || (i != NONE && (a > b || (a == b && i < j)));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let live = w.y * n.x + w.x < p.rows;
  let row = min(w.y * n.x + w.x, p.rows - 1u);
  let start = p.shift + row * p.experts;
  let to = p.to + row * p.count;
  var last = 0.0;
  var place = NONE; // what was chosen last
  var most = 0.0;
  for (var k = 0u; k < p.count; k++) {
    var best = 0.0;
    var at = NONE;
    for (var i = l; i < p.experts; i += 64u) {
      let v = logits[start + i];
      if ((place == NONE || before(last, place, v, i)) && i != place && before(v, i, best, at)) {
        best = v;
        at = i;
      }
    }
    workgroupBarrier();
    values[l] = best;
    places[l] = at;
    for (var half = 32u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (l < half && before(values[l + half], places[l + half], values[l], places[l])) {
        values[l] = values[l + half];
        places[l] = places[l + half];
      }
    }
    workgroupBarrier();
    last = values[0];
    place = places[0];
    if (k == 0u) {
      most = last;
    }
    if (l == 0u && live) {
      chosen[to + k] = i32(min(place, p.experts - 1u));
      weights[to + k] = last;
    }
  }
  workgroupBarrier();
  var part = 0.0;
  if (p.all == 1u) {
    for (var i = l; i < p.experts; i += 64u) {
      part += exponential(logits[start + i] - most);
    }
  }
  values[l] = part;
  for (var half = 32u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      values[l] += values[l + half];
    }
  }
  workgroupBarrier();
  if (l == 0u && live) {
    var total = values[0];
    if (p.all == 0u) {
      for (var k = 0u; k < p.count; k++) {
        total += exponential(weights[to + k] - most);
      }
    }
    for (var k = 0u; k < p.count; k++) {
      weights[to + k] = exponential(weights[to + k] - most) / total;
    }
  }
}
