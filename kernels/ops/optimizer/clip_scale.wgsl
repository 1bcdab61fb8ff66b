// The norm of all gradients from their sums of squares, and the factor that brings it down to the largest allowed.
struct Params {
  count: u32,
  max_norm: f32,
}

@group(0) @binding(0) var<storage, read> squares: array<f32>;
@group(0) @binding(1) var<storage, read_write> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> part: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) l: u32) {
  var sum = 0.0;
  for (var i = l; i < p.count; i += 64u) {
    sum += squares[i];
  }
  part[l] = sum;
  for (var half = 32u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  if (l == 0u) {
    let root = sqrt(part[0]);
    norm[0] = root;
    factor[0] = min(1.0, p.max_norm / (root + 1e-6));
  }
}
