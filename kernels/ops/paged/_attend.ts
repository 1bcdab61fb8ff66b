/**
 * Text of attention over pages. A workgroup takes 16 rows (queries × heads of one key head) of a tile and walks over its
 * keys, 32 or fewer at a time; eight lanes share a row, each scores every eighth key and holds every eighth entry of the
 * output. A layer of the grid takes `span` keys and leaves its part undivided, to be joined.
 */
import type { DType } from "../../../core/tensor.ts";
import { arrayOf, loader, remember } from "../_wgsl.ts";
import exponential from "../exponential.wgsl" with { type: "text" };

/** Lanes that share a row. */
const LANES = 8;
/** Rows of a workgroup. */
export const GROUP_ROWS = 16;

/** What the text depends on. */
export interface PagedKind {
  /** Entries of a head. */
  readonly dim: number;
  /** Query heads. */
  readonly heads: number;
  /** Key heads. */
  readonly kvHeads: number;
  /** Storage of keys and values. */
  readonly dtype: DType;
  /** Keys taken at a time: a divisor of a page. */
  readonly keys: number;
}

const PARAMS = `struct Params {
  queries: u32,
  entries: u32, // of the table of pages
  limit: u32, // pages there are
  parts: u32, // workgroups of a tile
  span: u32, // keys of a layer of the grid
  splits: u32,
  scale: f32,
}
`;

function perEntry(dim: number, make: (i: number, entry: string) => string, indent = "    "): string {
  return Array.from({ length: Math.ceil(dim / LANES) }, (_, i) => {
    const text = make(i, `lane + ${i * LANES}u`);
    return indent + ((i + 1) * LANES > dim ? `if (lane + ${i * LANES}u < ${dim}u) { ${text} }` : text);
  }).join("\n");
}

/** The kernel's text. */
export const attendCode: (kind: PagedKind) => string = remember(writeAttendCode);

function writeAttendCode({ dim, heads, kvHeads, dtype, keys }: PagedKind): string {
  const group = heads / kvHeads, invocations = GROUP_ROWS * LANES, declared = Math.ceil(dim / LANES);
  const fill = (from: string) =>
    `for (var i = l; i < ${keys * dim}u; i += ${invocations}u) {
      kv_tile[i] = ${from}((start + i / ${dim}u) * ${kvHeads * dim}u + kv_head * ${dim}u + i % ${dim}u);
    }`;
  return `${PARAMS}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: ${arrayOf(dtype)};
@group(0) @binding(2) var<storage, read> v: ${arrayOf(dtype)};
@group(0) @binding(3) var<storage, read> rows: array<i32>;
@group(0) @binding(4) var<storage, read> pages: array<i32>;
@group(0) @binding(5) var<storage, read> tiles: array<i32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>; // the largest score and the sum of exponentials
@group(0) @binding(8) var<uniform> p: Params;

var<workgroup> q_tile: array<f32, ${GROUP_ROWS * dim}>;
var<workgroup> kv_tile: array<f32, ${keys * dim}>;
var<workgroup> scores: array<f32, ${GROUP_ROWS * keys}>;
var<workgroup> low: atomic<u32>;
var<workgroup> high: atomic<u32>;
var<workgroup> bounds: vec4<u32>;

${loader("key_at", "k", dtype)}
${loader("value_at", "v", dtype)}
${exponential}
@compute @workgroup_size(${invocations})
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let kv_head = w.y;
  let tile = w.x / p.parts;
  let r = l / ${LANES}u;
  let lane = l % ${LANES}u;
  let first = u32(tiles[4u * tile]);
  let count = u32(tiles[4u * tile + 1u]);
  let row = (w.x % p.parts) * ${GROUP_ROWS}u + r;
  let real = row < count * ${group}u;
  let query = min(first + min(row / ${group}u, count - 1u), p.queries - 1u);
  let head = kv_head * ${group}u + row % ${group}u;
  let q_start = query * ${heads * dim}u + head * ${dim}u;
  let begin = u32(max(rows[4u * query], 0));
  let to = u32(max(rows[4u * query + 1u], 0));
  let branch = vec2<u32>(bitcast<u32>(rows[4u * query + 2u]), bitcast<u32>(rows[4u * query + 3u]));
  var end = to;
  if (branch.y != 0u) {
    end = to + 64u - countLeadingZeros(branch.y);
  } else if (branch.x != 0u) {
    end = to + 32u - countLeadingZeros(branch.x);
  }
  if (l == 0u) {
    atomicStore(&low, 0xffffffffu);
    atomicStore(&high, 0u);
  }
  workgroupBarrier();
  if (real && begin < end) {
    atomicMin(&low, begin);
    atomicMax(&high, end);
  }
  for (var i = lane; i < ${dim}u; i += ${LANES}u) {
    q_tile[r * ${dim}u + i] = q[q_start + i] * p.scale;
  }
  workgroupBarrier();
  if (l == 0u) {
    let a = max(atomicLoad(&low) / ${keys}u * ${keys}u, w.z * p.span);
    bounds = vec4<u32>(a, min(atomicLoad(&high), (w.z + 1u) * p.span), u32(tiles[4u * tile + 2u]), 0u);
  }
  let seen = workgroupUniformLoad(&bounds);

  var top = -1e30;
  var sum = 0.0;
${Array.from({ length: declared }, (_, i) => `  var acc${i} = 0.0;`).join("\n")}
  for (var base = min(seen.x, seen.y); base < seen.y; base += ${keys}u) {
    let entry = min(seen.z + base / 64u, p.entries - 1u);
    let start = min(u32(max(pages[entry], 0)), p.limit - 1u) * 64u + base % 64u;
    ${fill("key_at")}
    workgroupBarrier();
    for (var j = lane; j < ${keys}u; j += ${LANES}u) {
      var score = 0.0;
      for (var i = 0u; i < ${dim}u; i++) {
        score += q_tile[r * ${dim}u + i] * kv_tile[j * ${dim}u + i];
      }
      let key = base + j;
      var visible = key >= begin && key < to;
      if (key >= to && key - to < 64u && key >= begin) {
        let bit = key - to;
        visible = ((select(branch.x, branch.y, bit >= 32u) >> (bit & 31u)) & 1u) == 1u;
      }
      scores[r * ${keys}u + j] = select(-1e30, score, visible && real);
    }
    workgroupBarrier();
    ${fill("value_at")}
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
${perEntry(dim, (i) => `acc${i} *= fade;`)}
    for (var j = 0u; j < ${keys}u; j++) {
      let weight = scores[r * ${keys}u + j];
      sum += weight;
      // What nobody wrote yet may be no number at all.
      if (weight > 0.0) {
${perEntry(dim, (i, entry) => `acc${i} += weight * kv_tile[j * ${dim}u + ${entry}];`, "        ")}
      }
    }
    top = next;
    workgroupBarrier();
  }

  if (!real) {
    return;
  }
  let at = (w.z * p.queries + query) * ${heads}u + head;
${perEntry(dim, (i, entry) => `out[at * ${dim}u + ${entry}] = acc${i};`, "  ")}
  if (lane == 0u) {
    sums[2u * at] = top;
    sums[2u * at + 1u] = sum;
  }
}
`;
}

/** Text of the pass that joins the parts: an invocation takes an entry of the output. */
export const joinCode: (kind: { readonly dim: number; readonly heads: number }) => string = remember(
  ({ dim, heads }) =>
    `${PARAMS}
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
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
`,
);
