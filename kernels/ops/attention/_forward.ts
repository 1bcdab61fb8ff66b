/**
 * Text of the forward pass. A workgroup takes 16 rows (queries × heads of one key head) and walks over the tiles of keys
 * that any of them sees; eight lanes share a row, each scores every eighth key and holds every eighth entry of the output.
 */
import { remember } from "../_wgsl.ts";
import { LANES, PARAMS, perEntry, RANGE_OF, rowOf, type Tiles } from "./_tiles.ts";
import exponential from "../exponential.wgsl" with { type: "text" };

/**
 * The kernel's text. With `split` a layer of the grid takes `p.span` of the keys only and leaves its part of the output
 * undivided, in `out` and `lse` side by side with those of the other layers, as {@linkcode joinCode} wants them.
 */
export const forwardCode: (tiles: Tiles, split: boolean) => string = remember(writeForwardCode);

function writeForwardCode(tiles: Tiles, split: boolean): string {
  const { rows, keys, dim, heads, kvHeads } = tiles, invocations = rows * LANES;
  const each = (make: (i: number, entry: string) => string, indent?: string) => perEntry(dim, make, indent);
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> ranges: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

var<workgroup> q_tile: array<f32, ${rows * dim}>;
var<workgroup> kv_tile: array<f32, ${keys * dim}>;
var<workgroup> scores: array<f32, ${rows * keys}>;
var<workgroup> low: atomic<u32>;
var<workgroup> high: atomic<u32>;
var<workgroup> bounds: vec2<u32>;

${RANGE_OF}
${exponential}
@compute @workgroup_size(${invocations})
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let kv_head = w.y;
  let r = l / ${LANES}u;
  let lane = l % ${LANES}u;
  ${rowOf(tiles, `w.x * ${rows}u + r`)}
  let q_start = query * ${heads * dim}u + head * ${dim}u;
  var range = range_of(query);
  if (!real) {
    range = vec2<u32>(0u);
  }
${split ? "  range = clamp(range, vec2<u32>(w.z * p.span), vec2<u32>((w.z + 1u) * p.span));" : ""}
  if (l == 0u) {
    atomicStore(&low, 0xffffffffu);
    atomicStore(&high, 0u);
  }
  workgroupBarrier();
  if (range.x < range.y) {
    atomicMin(&low, range.x);
    atomicMax(&high, range.y);
  }
  for (var i = lane; i < ${dim}u; i += ${LANES}u) {
    q_tile[r * ${dim}u + i] = q[q_start + i] * p.scale;
  }
  workgroupBarrier();
  if (l == 0u) {
    bounds = vec2<u32>(atomicLoad(&low), atomicLoad(&high));
  }
  let seen = workgroupUniformLoad(&bounds);

  var top = -1e30;
  var sum = 0.0;
${each((i) => `var acc${i} = 0.0;`, "  ").replaceAll(/if \(.*?\) \{ (.*?) \}/g, "$1")}
  for (var base = min(seen.x, seen.y) / ${keys}u * ${keys}u; base < seen.y; base += ${keys}u) {
    for (var i = l; i < ${keys * dim}u; i += ${invocations}u) {
      let key = min(base + i / ${dim}u, p.keys - 1u);
      kv_tile[i] = k[key * ${kvHeads * dim}u + kv_head * ${dim}u + i % ${dim}u];
    }
    workgroupBarrier();
    for (var j = lane; j < ${keys}u; j += ${LANES}u) {
      var score = 0.0;
      for (var i = 0u; i < ${dim}u; i++) {
        score += q_tile[r * ${dim}u + i] * kv_tile[j * ${dim}u + i];
      }
      let key = base + j;
      scores[r * ${keys}u + j] = select(-1e30, score, key >= range.x && key < range.y);
    }
    workgroupBarrier();
    for (var i = l; i < ${keys * dim}u; i += ${invocations}u) {
      let key = min(base + i / ${dim}u, p.keys - 1u);
      kv_tile[i] = v[key * ${kvHeads * dim}u + kv_head * ${dim}u + i % ${dim}u];
    }
    var next = top;
    for (var j = 0u; j < ${keys}u; j++) {
      next = max(next, scores[r * ${keys}u + j]);
    }
    let fade = exponential(top - next);
    workgroupBarrier();
    for (var j = lane; j < ${keys}u; j += ${LANES}u) {
      let score = scores[r * ${keys}u + j];
      scores[r * ${keys}u + j] = select(0.0, exponential(score - next), score > -1e30);
    }
    workgroupBarrier();
    sum *= fade;
${each((i) => `acc${i} *= fade;`)}
    for (var j = 0u; j < ${keys}u; j++) {
      let weight = scores[r * ${keys}u + j];
      sum += weight;
${each((i, entry) => `acc${i} += weight * kv_tile[j * ${dim}u + ${entry}];`, "      ")}
    }
    top = next;
    workgroupBarrier();
  }

  for (var b = 1u; b <= ${split ? "select(p.diagonals, 0u, w.z > 0u)" : "p.diagonals"}; b++) {
    let start = (p.keys + (b - 1u) * p.queries + query) * ${kvHeads * dim}u + kv_head * ${dim}u;
    var part = 0.0;
    for (var i = lane; i < ${dim}u; i += ${LANES}u) {
      part += q_tile[r * ${dim}u + i] * k[start + i];
    }
    scores[r * ${keys}u + lane] = part;
    workgroupBarrier();
    var score = 0.0;
    for (var j = 0u; j < ${LANES}u; j++) {
      score += scores[r * ${keys}u + j];
    }
    workgroupBarrier();
    let next = max(top, score);
    let fade = exponential(top - next);
    let weight = exponential(score - next);
    sum = sum * fade + weight;
${each((i, entry) => `acc${i} = acc${i} * fade + weight * v[start + ${entry}];`)}
    top = next;
  }

  if (!real) {
    return;
  }
${split ? parts(tiles) : whole(tiles)}
}
`;
}

function whole({ dim, heads }: Tiles): string {
  return `  let scale = select(0.0, 1.0 / sum, sum > 0.0);
${perEntry(dim, (i, entry) => `out[q_start + ${entry}] = acc${i} * scale;`, "  ")}
  if (lane == 0u) {
    lse[query * ${heads}u + head] = select(-1e30, top + log(max(sum, 1e-30)), sum > 0.0);
  }`;
}

function parts({ dim, heads }: Tiles): string {
  return `  let row = (w.z * p.queries + query) * ${heads}u + head;
${perEntry(dim, (i, entry) => `out[row * ${dim}u + ${entry}] = acc${i};`, "  ")}
  if (lane == 0u) {
    lse[2u * row] = top;
    lse[2u * row + 1u] = sum;
  }`;
}

/** Text of the pass that joins the parts of a split: an invocation takes an entry of the output. */
export const joinCode: (tiles: Tiles) => string = remember(writeJoinCode);

function writeJoinCode({ dim, heads }: Tiles): string {
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> sums: array<f32>; // the largest score and the sum of exponentials of a part
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

${exponential}
@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  let rows = p.queries * ${heads}u;
  if (i >= rows * ${dim}u) {
    return;
  }
  let row = i / ${dim}u;
  var top = -1e30;
  for (var s = 0u; s < p.splits; s++) {
    top = max(top, sums[2u * (s * rows + row)]);
  }
  var sum = 0.0;
  var value = 0.0;
  for (var s = 0u; s < p.splits; s++) {
    let at = s * rows + row;
    let weight = exponential(sums[2u * at] - top);
    sum += weight * sums[2u * at + 1u];
    value += weight * parts[at * ${dim}u + i % ${dim}u];
  }
  out[i] = select(0.0, value / sum, sum > 0.0);
  if (i % ${dim}u == 0u) {
    lse[row] = select(-1e30, top + log(max(sum, 1e-30)), sum > 0.0);
  }
}
`;
}
