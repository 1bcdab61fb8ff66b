// x · σ(lse − sink)
struct Params {
  entries: u32,
  heads: u32,
  dim: u32,
  shift: u32,
  lse_shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> sinks: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.entries) {
    return;
  }
  let head = i / p.dim;
  let d = lse[p.lse_shift + head] - sinks[head % p.heads];
  // The exponential is of a negative number, so that it cannot overflow.
  let e = exponential(-abs(d));
  y[p.shift + i] = x[p.shift + i] * (select(e, 1.0, d >= 0.0) / (1.0 + e));
}
