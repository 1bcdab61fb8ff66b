// One AdamW step, in torch's order. The bias corrections come ready, found in f64.
struct Params {
  count: u32,
  shift: u32,
  keep: f32, // 1 − lr · weight decay
  beta1: f32,
  rest1: f32, // 1 − beta1
  beta2: f32,
  rest2: f32, // 1 − beta2
  size: f32, // lr / (1 − beta1ᵗ)
  root: f32, // √(1 − beta2ᵗ)
  eps: f32,
}

@group(0) @binding(0) var<storage, read_write> weight: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;
@group(0) @binding(2) var<storage, read_write> second: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let k = (w.y * n.x + w.x) * 256u + l;
  if (k >= p.count) {
    return;
  }
  let i = p.shift + k;
  let g = gradient[i] * scale[0];
  let m = p.beta1 * first[i] + p.rest1 * g;
  let v = p.beta2 * second[i] + p.rest2 * g * g;
  first[i] = m;
  second[i] = v;
  weight[i] = weight[i] * p.keep - p.size * (m / (sqrt(v) / p.root + p.eps));
}
