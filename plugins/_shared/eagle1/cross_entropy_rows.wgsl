// A workgroup takes a row: maxima and sums of exponentials, the likeliest targets one after the other, then loss and
// gradient together.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first row worked here
  count: u32, // likeliest targets that count once more
  all: f32,
  top: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

const NONE = 0xffffffffu;
const LOWEST = -3.0e38;

var<workgroup> part: array<vec2<f32>, 256>;
var<workgroup> place: array<u32, 256>;

// Whether target (value, index) a goes before b: the larger one, of equals the one further left.
fn before(a: f32, i: u32, b: f32, j: u32) -> bool {
  return a > b || (a == b && i < j);
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let row = w.y * n.x + w.x;
  let real = row < p.rows;
  let start = p.shift + min(row, p.rows - 1u) * p.width;
  let weight = weights[p.first + min(row, p.rows - 1u)];
  // A row that is not worked has no columns here: the barriers are reached by all.
  let width = select(0u, p.width, real && weight != 0.0);

  var most = vec2<f32>(LOWEST);
  for (var i = l; i < width; i += 256u) {
    most = max(most, vec2<f32>(logits[start + i], targets[start + i]));
  }
  part[l] = most;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] = max(part[l], part[l + half]);
    }
  }
  workgroupBarrier();
  most = part[0];
  workgroupBarrier();

  var sum = vec2<f32>(0.0);
  for (var i = l; i < width; i += 256u) {
    sum += exp(vec2<f32>(logits[start + i], targets[start + i]) - most);
  }
  part[l] = sum;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  workgroupBarrier();
  sum = max(part[0], vec2<f32>(1e-30));
  workgroupBarrier();
  let scale = 1.0 / sum;
  let normaliser = log(sum);

  // The last one chosen; everything before it is chosen too.
  var cut = 3.0e38;
  var cut_at = 0u;
  var chosen = 0u;
  var share = 0.0;
  var extra = 0.0;
  for (var k = 0u; k < p.count; k++) {
    var best = LOWEST;
    var best_at = NONE;
    for (var i = l; i < width; i += 256u) {
      let x = targets[start + i];
      let open = k == 0u || before(cut, cut_at, x, i);
      if (open && before(x, i, best, best_at)) {
        best = x;
        best_at = i;
      }
    }
    part[l] = vec2<f32>(best, 0.0);
    place[l] = best_at;
    for (var half = 128u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (l < half && before(part[l + half].x, place[l + half], part[l].x, place[l])) {
        part[l] = part[l + half];
        place[l] = place[l + half];
      }
    }
    workgroupBarrier();
    let found = place[0];
    if (found != NONE) {
      cut = part[0].x;
      cut_at = found;
      chosen += 1u;
      let q = exp(cut - most.y) * scale.y;
      share += q;
      extra += q * (normaliser.x - (logits[start + found] - most.x));
    }
    workgroupBarrier();
  }

  var cost = 0.0;
  let pull = p.all + p.top * share;
  for (var i = l; i < width; i += 256u) {
    let target_logit = targets[start + i];
    let x = vec2<f32>(logits[start + i], target_logit) - most;
    let q = exp(x) * scale;
    if (q.y > 0.0) {
      cost += q.y * (normaliser.x - x.x);
    }
    let within = chosen > 0u && !before(cut, cut_at, target_logit, i);
    dlogits[start + i] = weight * (pull * q.x - (p.all + select(0.0, p.top, within)) * q.y);
  }
  if (real && width == 0u) {
    for (var i = l; i < p.width; i += 256u) {
      dlogits[start + i] = 0.0;
    }
  }
  part[l] = vec2<f32>(cost, 0.0);
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  if (l == 0u && real) {
    loss[p.first + row] = select(0.0, weight * (p.all * part[0].x + p.top * extra), width > 0u);
  }
}
