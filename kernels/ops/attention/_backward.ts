/** Text of the backward passes. Each output has one writer, so nothing depends on the order of workgroups. */
import { remember } from "../_wgsl.ts";
import { LANES, PARAMS, perEntry, RANGE_OF, rowOf, type Tiles } from "./_tiles.ts";
import exponential from "../exponential.wgsl" with { type: "text" };

const undress = (text: string) => text.replaceAll(/if \(.*?\) \{ (.*?) \}/g, "$1");

/** The keys that each tile of rows sees, all heads alike: first and one past the last. */
export const boundsCode: (tiles: Tiles) => string = remember(writeBoundsCode);

function writeBoundsCode({ rows, group }: Tiles): string {
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> ranges: array<i32>;
@group(0) @binding(1) var<storage, read_write> bounds: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

${RANGE_OF}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let last = p.queries * ${group}u;
  let start = id.x * ${rows}u;
  if (start >= last) {
    return;
  }
  var seen = vec2<u32>(0xffffffffu, 0u);
  for (var query = start / ${group}u; query * ${group}u < min(start + ${rows}u, last); query++) {
    let range = range_of(query);
    if (range.x < range.y) {
      seen = vec2<u32>(min(seen.x, range.x), max(seen.y, range.y));
    }
  }
  bounds[2u * id.x] = min(seen.x, seen.y);
  bounds[2u * id.x + 1u] = seen.y;
}
`;
}

/**
 * dq by tiles of rows: with p = exp(s − lse) and δ = out · dout, ds = p (dout · v − δ) and dq = scale · Σ ds k. Leaves δ for
 * the keys' pass, and p and ds of the diagonals.
 */
export const queryGradCode: (tiles: Tiles) => string = remember(writeQueryGradCode);

function writeQueryGradCode(tiles: Tiles): string {
  const { rows, keys, dim, heads, kvHeads } = tiles, invocations = rows * LANES;
  const each = (make: (i: number, entry: string) => string, indent?: string) => perEntry(dim, make, indent);
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> ranges: array<i32>;
@group(0) @binding(4) var<storage, read> out: array<f32>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> dout: array<f32>;
@group(0) @binding(7) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> dq: array<f32>;
@group(0) @binding(9) var<storage, read_write> side: array<f32>; // δ [T, heads], then p and ds of each diagonal
@group(0) @binding(10) var<uniform> p: Params;

var<workgroup> q_tile: array<f32, ${rows * dim}>;
var<workgroup> d_tile: array<f32, ${rows * dim}>;
var<workgroup> k_tile: array<f32, ${keys * dim}>;
var<workgroup> v_tile: array<f32, ${keys * dim}>;
var<workgroup> grads: array<f32, ${rows * Math.max(keys, 2 * LANES)}>;
var<workgroup> tile: vec2<u32>;

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
  let row = query * ${heads}u + head;
  var range = range_of(query);
  if (!real) {
    range = vec2<u32>(0u);
  }
  let normaliser = lse[row];
  for (var i = lane; i < ${dim}u; i += ${LANES}u) {
    q_tile[r * ${dim}u + i] = q[q_start + i] * p.scale;
    d_tile[r * ${dim}u + i] = dout[q_start + i];
  }
  if (l == 0u) {
    tile = vec2<u32>(bounds[2u * w.x], bounds[2u * w.x + 1u]);
  }
  workgroupBarrier();
  // Summed in the order of the products with v below: where a row sees one key, the two cancel to nothing.
  var delta = 0.0;
  for (var i = 0u; i < ${dim}u; i++) {
    delta += d_tile[r * ${dim}u + i] * out[q_start + i];
  }
  if (real && lane == 0u) {
    side[row] = delta;
  }
  let seen = workgroupUniformLoad(&tile);

${undress(each((i) => `var acc${i} = 0.0;`, "  "))}
  for (var base = seen.x / ${keys}u * ${keys}u; base < seen.y; base += ${keys}u) {
    for (var i = l; i < ${keys * dim}u; i += ${invocations}u) {
      let key = min(base + i / ${dim}u, p.keys - 1u);
      let at = key * ${kvHeads * dim}u + kv_head * ${dim}u + i % ${dim}u;
      k_tile[i] = k[at];
      v_tile[i] = v[at];
    }
    workgroupBarrier();
    for (var j = lane; j < ${keys}u; j += ${LANES}u) {
      let key = base + j;
      var ds = 0.0;
      if (key >= range.x && key < range.y) {
        var score = 0.0;
        var dp = 0.0;
        for (var i = 0u; i < ${dim}u; i++) {
          score += q_tile[r * ${dim}u + i] * k_tile[j * ${dim}u + i];
          dp += d_tile[r * ${dim}u + i] * v_tile[j * ${dim}u + i];
        }
        ds = exponential(score - normaliser) * (dp - delta);
      }
      grads[r * ${keys}u + j] = ds;
    }
    workgroupBarrier();
    for (var j = 0u; j < ${keys}u; j++) {
      let ds = grads[r * ${keys}u + j];
${each((i, entry) => `acc${i} += ds * k_tile[j * ${dim}u + ${entry}];`, "      ")}
    }
    workgroupBarrier();
  }

  for (var b = 1u; b <= p.diagonals; b++) {
    let start = (p.keys + (b - 1u) * p.queries + query) * ${kvHeads * dim}u + kv_head * ${dim}u;
    var parts = vec2<f32>(0.0);
    for (var i = lane; i < ${dim}u; i += ${LANES}u) {
      parts += vec2<f32>(q_tile[r * ${dim}u + i] * k[start + i], d_tile[r * ${dim}u + i] * v[start + i]);
    }
    grads[r * ${2 * LANES}u + lane] = parts.x;
    grads[r * ${2 * LANES}u + ${LANES}u + lane] = parts.y;
    workgroupBarrier();
    var score = 0.0;
    var dp = 0.0;
    for (var j = 0u; j < ${LANES}u; j++) {
      score += grads[r * ${2 * LANES}u + j];
      dp += grads[r * ${2 * LANES}u + ${LANES}u + j];
    }
    workgroupBarrier();
    let weight = exponential(score - normaliser);
    let ds = weight * (dp - delta);
${each((i, entry) => `acc${i} += ds * k[start + ${entry}];`)}
    if (real && lane == 0u) {
      let cells = p.queries * ${heads}u;
      side[(2u * b - 1u) * cells + row] = weight;
      side[2u * b * cells + row] = ds;
    }
  }

  if (!real) {
    return;
  }
${each((i, entry) => `dq[q_start + ${entry}] = acc${i} * p.scale;`, "  ")}
}
`;
}

/** dk and dv of the first block by tiles of keys: dv = Σ p dout, dk = scale · Σ ds q over the rows that see the key. */
export const keyGradCode: (tiles: Tiles) => string = remember(writeKeyGradCode);

function writeKeyGradCode(tiles: Tiles): string {
  const { rows, keys, dim, group, heads, kvHeads } = tiles, invocations = keys * LANES;
  const each = (make: (i: number, entry: string) => string, indent?: string) => perEntry(dim, make, indent);
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> ranges: array<i32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read> bounds: array<u32>;
@group(0) @binding(7) var<storage, read> side: array<f32>;
@group(0) @binding(8) var<storage, read_write> dk: array<f32>;
@group(0) @binding(9) var<storage, read_write> dv: array<f32>;
@group(0) @binding(10) var<uniform> p: Params;

var<workgroup> k_tile: array<f32, ${keys * dim}>;
var<workgroup> v_tile: array<f32, ${keys * dim}>;
var<workgroup> q_tile: array<f32, ${rows * dim}>;
var<workgroup> d_tile: array<f32, ${rows * dim}>;
var<workgroup> weights: array<vec2<f32>, ${rows * keys}>; // p and ds of a row and a key
var<workgroup> found: array<atomic<u32>, ${invocations / 32}>; // a bit for each of as many tiles of rows
var<workgroup> seeing: array<u32, ${invocations / 32}>;

${RANGE_OF}
${exponential}
@compute @workgroup_size(${invocations})
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let kv_head = w.y;
  let base = w.x * ${keys}u;
  let key = base + l / ${LANES}u;
  let j = l / ${LANES}u;
  let lane = l % ${LANES}u;
  let kv_start = min(key, p.keys - 1u) * ${kvHeads * dim}u + kv_head * ${dim}u;
  for (var i = lane; i < ${dim}u; i += ${LANES}u) {
    k_tile[j * ${dim}u + i] = k[kv_start + i];
    v_tile[j * ${dim}u + i] = v[kv_start + i];
  }
${undress(each((i) => `var dk${i} = 0.0; var dv${i} = 0.0;`, "  "))}
  let last = p.queries * ${group}u;
  let tiles = (last + ${rows - 1}u) / ${rows}u;
  for (var chunk = 0u; chunk < tiles; chunk += ${invocations}u) {
    // Which of the next tiles of rows see any of these keys: one invocation looks at each.
    if (l < ${invocations / 32}u) {
      atomicStore(&found[l], 0u);
    }
    workgroupBarrier();
    let own = chunk + l;
    if (own < tiles && bounds[2u * own] < base + ${keys}u && bounds[2u * own + 1u] > base) {
      atomicOr(&found[l / 32u], 1u << (l % 32u));
    }
    workgroupBarrier();
    if (l < ${invocations / 32}u) {
      seeing[l] = atomicLoad(&found[l]);
    }
    for (var word = 0u; word < ${invocations / 32}u; word++) {
      var bits = workgroupUniformLoad(&seeing[word]);
      while (bits != 0u) {
        let start = (chunk + word * 32u + firstTrailingBit(bits)) * ${rows}u;
        bits &= bits - 1u;
        for (var i = l; i < ${rows * dim}u; i += ${invocations}u) {
          let r = min(start + i / ${dim}u, last - 1u);
          let at = r / ${group}u * ${
    heads * dim
  }u + (kv_head * ${group}u + r % ${group}u) * ${dim}u + i % ${dim}u;
          q_tile[i] = q[at] * p.scale;
          d_tile[i] = dout[at];
        }
        workgroupBarrier();
        for (var r = lane; r < ${rows}u; r += ${LANES}u) {
          ${rowOf(tiles, "start + r").replaceAll("\n", "\n    ")}
          let range = range_of(query);
          var pair = vec2<f32>(0.0);
          if (real && key >= range.x && key < range.y) {
            var score = 0.0;
            var dp = 0.0;
            for (var i = 0u; i < ${dim}u; i++) {
              score += q_tile[r * ${dim}u + i] * k_tile[j * ${dim}u + i];
              dp += d_tile[r * ${dim}u + i] * v_tile[j * ${dim}u + i];
            }
            let row = query * ${heads}u + head;
            let weight = exponential(score - lse[row]);
            pair = vec2<f32>(weight, weight * (dp - side[row]));
          }
          weights[r * ${keys}u + j] = pair;
        }
        workgroupBarrier();
        for (var r = 0u; r < ${rows}u; r++) {
          let pair = weights[r * ${keys}u + j];
${
    each(
      (i, entry) =>
        `dv${i} += pair.x * d_tile[r * ${dim}u + ${entry}]; dk${i} += pair.y * q_tile[r * ${dim}u + ${entry}];`,
      "      ",
    )
  }
        }
        workgroupBarrier();
      }
    }
  }
  if (key >= p.keys) {
    return;
  }
${each((i, entry) => `dk[kv_start + ${entry}] = dk${i}; dv[kv_start + ${entry}] = dv${i};`, "  ")}
}
`;
}

/** dk and dv of the diagonals' keys, each seen by one query: an invocation takes an entry. */
export const diagonalGradCode: (tiles: Tiles) => string = remember(writeDiagonalGradCode);

function writeDiagonalGradCode({ dim, group, heads, kvHeads }: Tiles): string {
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> dout: array<f32>;
@group(0) @binding(2) var<storage, read> side: array<f32>;
@group(0) @binding(3) var<storage, read_write> dk: array<f32>;
@group(0) @binding(4) var<storage, read_write> dv: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let i = (w.y * n.x + w.x) * 256u + l;
  let width = ${kvHeads * dim}u;
  if (i >= p.diagonals * p.queries * width) {
    return;
  }
  let key = i / width;
  let block = 1u + key / p.queries;
  let query = key % p.queries;
  let kv_head = i % width / ${dim}u;
  let entry = i % ${dim}u;
  let cells = p.queries * ${heads}u;
  var sums = vec2<f32>(0.0);
  for (var g = 0u; g < ${group}u; g++) {
    let head = kv_head * ${group}u + g;
    let row = query * ${heads}u + head;
    let at = row * ${dim}u + entry;
    sums += vec2<f32>(
      side[2u * block * cells + row] * q[at],
      side[(2u * block - 1u) * cells + row] * dout[at],
    );
  }
  let to = p.keys * width + i;
  dk[to] = sums.x * p.scale;
  dv[to] = sums.y;
}
`;
}
