// An invocation takes an entry of the output; the first of a head writes the head's normaliser too.
struct Params {
  count: u32, // entries worked here
  head_dim: u32,
  shift: u32, // of the entries in their binding
  lse_shift: u32, // of the heads in theirs
}

@group(0) @binding(0) var<storage, read> out_a: array<f32>;
@group(0) @binding(1) var<storage, read> lse_a: array<f32>;
@group(0) @binding(2) var<storage, read> out_b: array<f32>;
@group(0) @binding(3) var<storage, read> lse_b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 64u + l;
  if (i >= p.count) {
    return;
  }
  let head = p.lse_shift + i / p.head_dim;
  let a = lse_a[head];
  let b = lse_b[head];
  let most = max(a, b);
  let e = vec2<f32>(exp(a - most), exp(b - most));
  let sum = e.x + e.y;
  let at = p.shift + i;
  out[at] = (e.x * out_a[at] + e.y * out_b[at]) / sum;
  if (i % p.head_dim == 0u) {
    lse[head] = most + log(sum);
  }
}
