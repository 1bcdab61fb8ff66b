// (up + 1) · gate · σ(alpha · gate), both clamped; gates are the entries of even number
struct Params {
  count: u32,
  shift: u32,
  to: u32,
  alpha: f32,
  limit: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  if (i >= p.count) {
    return;
  }
  let gate = min(x[p.shift + 2u * i], p.limit);
  let up = clamp(x[p.shift + 2u * i + 1u], -p.limit, p.limit);
  let e = exponential(-abs(p.alpha * gate));
  y[p.to + i] = (up + 1.0) * gate * (select(e, 1.0, gate >= 0.0) / (1.0 + e));
}
