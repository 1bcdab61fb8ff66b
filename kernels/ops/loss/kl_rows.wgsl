// A workgroup takes a row: both maxima, both sums of exponentials, then the divergence and the gradient together.
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

var<workgroup> part: array<vec2<f32>, 256>;

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

  var top = vec2<f32>(-3.0e38);
  for (var i = l; i < width; i += 256u) {
    top = max(top, vec2<f32>(logits[start + i], targets[start + i]));
  }
  part[l] = top;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] = max(part[l], part[l + half]);
    }
  }
  workgroupBarrier();
  top = part[0];
  workgroupBarrier();

  var sum = vec2<f32>(0.0);
  for (var i = l; i < width; i += 256u) {
    let x = vec2<f32>(logits[start + i], targets[start + i]) - top;
    sum += vec2<f32>(exponential(x.x), exponential(x.y));
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
  var divergence = 0.0;
  for (var i = l; i < width; i += 256u) {
    let x = vec2<f32>(logits[start + i], targets[start + i]) - top;
    let q = vec2<f32>(exponential(x.x), exponential(x.y)) * scale;
    if (q.y > 0.0) {
      divergence += q.y * ((x.y - normaliser.y) - (x.x - normaliser.x));
    }
    dlogits[start + i] = weight * (q.x - q.y);
  }
  if (real && width == 0u) {
    for (var i = l; i < p.width; i += 256u) {
      dlogits[start + i] = 0.0;
    }
  }
  part[l] = vec2<f32>(divergence, 0.0);
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  if (l == 0u && real) {
    loss[p.first + row] = select(0.0, weight * part[0].x, width > 0u);
  }
}
