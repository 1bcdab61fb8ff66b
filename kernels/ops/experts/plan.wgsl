// Rows in the order of their experts, and tiles of at most 16 of one expert each; one workgroup.
struct Params {
  rows: u32,
  experts: u32,
  tiles: u32,
}

@group(0) @binding(0) var<storage, read> chosen: array<i32>;
@group(0) @binding(1) var<storage, read_write> plan: array<i32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> counts: array<u32, 1024>;
var<workgroup> starts: array<u32, 1024>;
var<workgroup> tiles_before: array<u32, 1024>;
var<workgroup> used: u32;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) l: u32) {
  for (var e = l; e < p.experts; e += 256u) {
    var count = 0u;
    for (var row = 0u; row < p.rows; row++) {
      if (chosen[row] == i32(e)) {
        count++;
      }
    }
    counts[e] = count;
  }
  workgroupBarrier();
  if (l == 0u) {
    var first = 0u;
    var tile = 0u;
    for (var e = 0u; e < p.experts; e++) {
      starts[e] = first;
      tiles_before[e] = tile;
      first += counts[e];
      tile += (counts[e] + 15u) / 16u;
    }
    used = tile;
  }
  workgroupBarrier();
  for (var e = l; e < p.experts; e += 256u) {
    var at = starts[e];
    for (var row = 0u; row < p.rows; row++) {
      if (chosen[row] == i32(e)) {
        plan[at] = i32(row);
        at++;
      }
    }
    for (var i = 0u; i * 16u < counts[e]; i++) {
      let to = p.rows + 3u * (tiles_before[e] + i);
      plan[to] = i32(e);
      plan[to + 1u] = i32(starts[e] + i * 16u);
      plan[to + 2u] = i32(min(16u, counts[e] - i * 16u));
    }
  }
  for (var i = p.rows + 3u * used + l; i < p.rows + 3u * p.tiles; i += 256u) {
    plan[i] = 0;
  }
}
