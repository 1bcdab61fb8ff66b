// A workgroup takes a row: both maxima, both sums of exponentials, the sums that the loss is made of, then the gradient.
// p is the distribution of the targets, q that of the logits. KIND says which loss, see kinds.ts.
struct Params {
  rows: u32,
  width: u32,
  shift: u32,
  first: u32, // number of the first row worked here
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

const REVERSE_KL = 0u;
const JENSEN_SHANNON = 1u;
const CROSS_ENTROPY = 2u;
const TOTAL_VARIATION = 3u;
const ACCEPTANCE = 4u;
const HYBRID = 5u;

const LEAST_ACCEPTANCE = 1e-5;
const ETA = 3.0;
const LOWEST = -3.0e38;
const NONE = 0xffffffffu;

var<workgroup> part: array<vec3<f32>, 256>;
var<workgroup> place: array<u32, 256>;

// Sums of all invocations' entries, to all of them.
fn sums(own: vec3<f32>, l: u32) -> vec3<f32> {
  part[l] = own;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  workgroupBarrier();
  let all = part[0];
  workgroupBarrier();
  return all;
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

  // Maxima; of the targets also where, the lowest of equals.
  var top = vec3<f32>(LOWEST);
  var best_at = NONE;
  for (var i = l; i < width; i += 256u) {
    let y = targets[start + i];
    if (y > top.y || best_at == NONE) {
      best_at = i;
    }
    top = max(top, vec3<f32>(logits[start + i], y, LOWEST));
  }
  part[l] = top;
  place[l] = best_at;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      let other = part[l + half];
      let at = place[l + half];
      if (other.y > part[l].y || (other.y == part[l].y && at < place[l])) {
        place[l] = at;
      }
      part[l] = max(part[l], other);
    }
  }
  workgroupBarrier();
  top = part[0];
  best_at = place[0];
  workgroupBarrier();

  var own = vec3<f32>(0.0);
  for (var i = l; i < width; i += 256u) {
    own += vec3<f32>(exponential(logits[start + i] - top.x), exponential(targets[start + i] - top.y), 0.0);
  }
  let sum = max(sums(own, l), vec3<f32>(1e-30));
  let scale = 1.0 / sum;
  let normaliser = log(sum);

  // What the loss is made of, see kernels/rs/src/kernels/losses.rs.
  var found = vec3<f32>(0.0);
  if (KIND != CROSS_ENTROPY) {
    own = vec3<f32>(0.0);
    for (var i = l; i < width; i += 256u) {
      let x = logits[start + i] - top.x;
      let y = targets[start + i] - top.y;
      let q = exponential(x) * scale.x;
      let r = exponential(y) * scale.y;
      let apart = (x - normaliser.x) - (y - normaliser.y); // log q − log p
      if (KIND == REVERSE_KL) {
        own.x += q * apart;
      } else if (KIND == JENSEN_SHANNON) {
        let middle = log(max(0.5 * (q + r), 1e-37));
        own.x += q * (x - normaliser.x - middle);
        own.y += r * (y - normaliser.y - middle);
      } else {
        own.x += max(r - q, 0.0);
        own.y += select(0.0, q, q <= r);
        // The divergence, or the share accepted where that may be so small that 1 − refused has no digits.
        own.z += select(-r * apart, min(r, q), KIND == ACCEPTANCE);
      }
    }
    found = sums(own, l);
  }

  var value = 0.0;
  var pull = 1.0; // factor of total variation's gradient
  var lambda = 0.0; // factor of the divergence's
  switch (KIND) {
    case REVERSE_KL: {
      value = found.x;
    }
    case JENSEN_SHANNON: {
      value = 0.5 * (found.x + found.y);
    }
    case CROSS_ENTROPY: {
      if (width > 0u && best_at != NONE) {
        value = normaliser.x - (logits[start + best_at] - top.x);
      }
    }
    case ACCEPTANCE: {
      value = -log(max(found.z, LEAST_ACCEPTANCE));
      pull = select(0.0, 1.0 / found.z, found.z >= LEAST_ACCEPTANCE);
    }
    case HYBRID: {
      lambda = exponential(-ETA * (1.0 - found.x));
      pull = 1.0 - lambda;
      value = lambda * found.z + pull * found.x;
    }
    default: {
      value = found.x;
    }
  }

  for (var i = l; i < width; i += 256u) {
    let x = logits[start + i] - top.x;
    let y = targets[start + i] - top.y;
    let q = exponential(x) * scale.x;
    let r = exponential(y) * scale.y;
    var d = 0.0;
    if (KIND == REVERSE_KL) {
      d = q * ((x - normaliser.x) - (y - normaliser.y) - found.x);
    } else if (KIND == JENSEN_SHANNON) {
      d = 0.5 * q * (x - normaliser.x - log(max(0.5 * (q + r), 1e-37)) - found.x);
    } else if (KIND == CROSS_ENTROPY) {
      d = q - select(0.0, 1.0, i == best_at);
    } else {
      d = lambda * (q - r) + pull * q * (found.y - select(0.0, 1.0, q <= r));
    }
    dlogits[start + i] = weight * d;
  }
  if (real && width == 0u) {
    for (var i = l; i < p.width; i += 256u) {
      dlogits[start + i] = 0.0;
    }
  }
  if (l == 0u && real) {
    loss[p.first + row] = select(0.0, weight * value, width > 0u);
  }
}
