// x · Φ(x), or its form with tanh
struct Params {
  count: u32,
  shift: u32,
  tanh: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

// erfc(x / √2) / 2 for x ≥ 0, within 1e-7: Abramowitz and Stegun 1964, formula 7.1.26.
fn half_erfc(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * 0.70710678 * x);
  let q = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.2548296) * t;
  return 0.5 * q * exponential(-0.5 * x * x);
}

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
  let v = x[p.shift + i];
  if (p.tanh == 1u) {
    // tanh(y) = 2σ(2y) − 1; the exponential is of a negative number, so that it cannot overflow.
    let e = exponential(-abs(1.5957691 * (v + 0.044715 * v * v * v)));
    y[p.shift + i] = v * (select(e, 1.0, v >= 0.0) / (1.0 + e));
  } else {
    let tail = v * half_erfc(abs(v));
    y[p.shift + i] = select(tail, v - tail, v >= 0.0);
  }
}
