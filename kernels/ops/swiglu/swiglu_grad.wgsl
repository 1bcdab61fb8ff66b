// Gradients of silu(gate) · up: silu'(x) = s(x) · (1 + x · (1 − s(x)))
struct Params {
  count: u32,
  shift: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(4) var<storage, read_write> dup: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

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
  let g = gate[p.shift + i];
  let d = dout[p.shift + i];
  let e = exponential(-abs(g));
  let s = select(e, 1.0, g >= 0.0) / (1.0 + e);
  let rest = select(1.0, e, g >= 0.0) / (1.0 + e); // 1 − s without cancellation
  dgate[p.shift + i] = d * up[p.shift + i] * s * (1.0 + g * rest);
  dup[p.shift + i] = d * g * s;
}
