// One workgroup: each invocation looks at every 64th place and keeps its best, then the best of all is found.
struct Params { length: u32, most: u32, count: u32 }
@group(0) @binding(0) var<storage, read> history: array<i32>;
@group(0) @binding(1) var<storage, read_write> out: array<i32>;
@group(0) @binding(2) var<uniform> params: Params;

// Length of the match above the place: the larger number is the longer match, of equal ones the later.
var<workgroup> best: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) me: u32) {
  var mine = 0u;
  for (var place = me; place < params.length; place += 64u) {
    var same = 0u;
    while (same < params.most && same < place) {
      if (history[place - 1u - same] != history[params.length - 1u - same]) { break; }
      same++;
    }
    mine = max(mine, (same << 24u) | place);
  }
  best[me] = mine;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (me < half) { best[me] = max(best[me], best[me + half]); }
    workgroupBarrier();
  }
  let end = best[0] & 0xffffffu;
  for (var i = me; i < params.count; i += 64u) { out[i] = history[end + i % (params.length - end)]; }
}
