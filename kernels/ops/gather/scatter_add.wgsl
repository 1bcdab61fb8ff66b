// Rows added up by number, in their own order and without atomics: a workgroup belongs to a row of x, and the first
// row of each number sums all that share it.
struct Params {
  count: u32, // rows of x
  width: u32,
  low: u32, // rows of the output worked here
  high: u32,
  shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> earlier: atomic<u32>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let t = w.y * n.x + w.x;
  var id = -1;
  if (t < p.count) {
    id = ids[t];
    for (var s = l; s < t; s += 256u) {
      if (ids[s] == id) {
        atomicOr(&earlier, 1u);
      }
    }
  }
  workgroupBarrier();
  let row = bitcast<u32>(id);
  if (row < p.low || row >= p.high || atomicLoad(&earlier) != 0u) {
    return;
  }
  for (var column = l; column < p.width; column += 256u) {
    var sum = 0.0;
    for (var s = t; s < p.count; s++) {
      if (ids[s] == id) {
        sum += x[s * p.width + column];
      }
    }
    y[p.shift + (row - p.low) * p.width + column] = sum;
  }
}
