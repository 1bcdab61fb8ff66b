// Rows added up by number, in their own order: the workgroup of the first row of each number finds the others, 256 at
// a time, and adds them one after the other, so that the sum is the same at every run.
struct Params {
  count: u32, // rows of x
  width: u32,
  low: u32, // rows of the output worked here
  high: u32,
  shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<i32>;
@group(0) @binding(2) var<storage, read> first: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

var<workgroup> found: array<atomic<u32>, 8>; // a bit for each of 256 rows
var<workgroup> mine: u32;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let t = w.y * n.x + w.x;
  if (l == 0u) {
    mine = 0xffffffffu;
    if (t < p.count) {
      let row = bitcast<u32>(ids[t]);
      if (row >= p.low && row < p.high && first[row - p.low] == t) {
        mine = row;
      }
    }
  }
  let row = workgroupUniformLoad(&mine);
  if (row == 0xffffffffu) {
    return;
  }
  let to = p.shift + (row - p.low) * p.width;
  for (var base = t; base < p.count; base += 256u) {
    if (l < 8u) {
      atomicStore(&found[l], 0u);
    }
    workgroupBarrier();
    if (base + l < p.count && bitcast<u32>(ids[base + l]) == row) {
      atomicOr(&found[l / 32u], 1u << (l % 32u));
    }
    workgroupBarrier();
    for (var word = 0u; word < 8u; word++) {
      var bits = atomicLoad(&found[word]);
      while (bits != 0u) {
        let s = base + word * 32u + firstTrailingBit(bits);
        for (var column = l; column < p.width; column += 256u) {
          y[to + column] += x[s * p.width + column];
        }
        bits &= bits - 1u;
      }
    }
    workgroupBarrier();
  }
}
