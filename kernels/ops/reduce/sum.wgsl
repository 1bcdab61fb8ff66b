// Sums of 4096 entries (or their squares) each; repeated until one is left.
struct Params {
  count: u32,
  shift: u32,
  square: u32,
  to: u32, // place of the first sum
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let group = w.y * n.x + w.x;
  var sum = 0.0;
  for (var j = 0u; j < 16u; j++) {
    let i = group * 4096u + j * 256u + l;
    if (i < p.count) {
      let v = x[p.shift + i];
      sum += select(v, v * v, p.square == 1u);
    }
  }
  part[l] = sum;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      part[l] += part[l + half];
    }
  }
  if (l == 0u && group * 4096u < p.count) {
    y[p.to + group] = part[0];
  } else if (l == 0u && group == 0u) {
    y[p.to] = 0.0;
  }
}
