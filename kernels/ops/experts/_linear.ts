/** Text of the product of rows with the weights of their experts: a workgroup takes a tile of the plan and some columns. */
import type { DType } from "../../../core/tensor.ts";
import { arrayOf, loader, remember } from "../_wgsl.ts";
import { EXPERT_TILE } from "./mod.ts";

/** Columns of a workgroup. */
export const LINEAR_COLUMNS = 64;
/** Entries of the inner sum that are held at once: a block of MXFP4. */
const DEPTH = 32;

/** Reads an entry of a weight: i counts entries from the window's beginning. */
function weightAt(kind: DType | "mxfp4"): { readonly type: string; readonly code: string } {
  if (kind !== "mxfp4") return { type: arrayOf(kind), code: loader("entry", "weight", kind) };
  return {
    type: "array<u32>",
    code: `fn byte_of(word: u32, i: u32) -> u32 { return (word >> ((i & 3u) * 8u)) & 0xffu; }

// A sign, two bits of exponent and one of mantissa; the scale is a power of two.
fn entry(i: u32) -> f32 {
  let at = p.w_shift + i / 2u;
  let code = (byte_of(weight[at >> 2u], at) >> ((i & 1u) * 4u)) & 15u;
  let magnitude = code & 7u;
  let value = select(f32(2u + (magnitude & 1u)) * f32(1u << (magnitude >> 1u)) * 0.25, f32(magnitude) * 0.5, magnitude < 2u);
  let block = p.s_shift + i / 32u;
  let scale = ldexp(1.0, i32(byte_of(scales[block >> 2u], block)) - 127);
  return select(value, -value, code > 7u) * scale;
}`,
  };
}

/** The kernel's text. */
export const linearCode: (kind: DType | "mxfp4", inputFirst: boolean, bias: boolean) => string = remember(
  write,
);

function write(kind: DType | "mxfp4", inputFirst: boolean, bias: boolean): string {
  const weight = weightAt(kind), packed = kind === "mxfp4";
  const names = ["x: array<f32>", "plan: array<i32>", `weight: ${weight.type}`];
  if (packed) names.push("scales: array<u32>");
  if (bias) names.push("bias: array<f32>");
  const reads = names.map((name, i) => `@group(0) @binding(${i}) var<storage, read> ${name};`).join("\n");
  // The shift of packed weights counts bytes, that of others entries.
  const base = packed ? "" : "p.w_shift + ";
  const at = inputFirst
    ? `${base}(expert * p.depth + start + k) * p.columns + column + c`
    : `${base}(expert * p.columns + column + c) * p.depth + start + k`;
  const [k, c] = inputFirst
    ? [`i / ${LINEAR_COLUMNS}u`, `i % ${LINEAR_COLUMNS}u`]
    : [`i % ${DEPTH}u`, `i / ${DEPTH}u`];
  return `// Rows times the weights of their experts.
struct Params {
  rows: u32,
  depth: u32,
  columns: u32,
  repeat: u32,
  x_shift: u32,
  x_first: u32, // row of x that the binding begins with
  w_shift: u32,
  s_shift: u32,
  expert_from: u32,
  expert_to: u32,
  out_shift: u32,
  row_from: u32, // rows of the output that the binding covers
  row_to: u32,
}

${reads}
@group(0) @binding(${names.length}) var<storage, read_write> out: array<f32>;
@group(0) @binding(${names.length + 1}) var<uniform> p: Params;

${weight.code}

var<workgroup> xs: array<f32, ${EXPERT_TILE * (DEPTH + 1)}>;
var<workgroup> ws: array<f32, ${LINEAR_COLUMNS * (DEPTH + 1)}>;
var<workgroup> slots: array<u32, ${EXPERT_TILE}>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) l: u32) {
  let tile = p.rows + 3u * w.y;
  let id = u32(plan[tile]);
  let first = u32(plan[tile + 1u]);
  var count = u32(plan[tile + 2u]);
  if (id < p.expert_from || id >= p.expert_to) {
    count = 0u;
  }
  let expert = id - p.expert_from;
  let column = w.x * ${LINEAR_COLUMNS}u;
  if (l < ${EXPERT_TILE}u) {
    slots[l] = 0xffffffffu;
    if (l < count) {
      slots[l] = u32(plan[first + l]);
    }
  }
  workgroupBarrier();
  let down = l / 16u * 4u;
  let across = l % 16u * 4u;
  var sums: array<vec4<f32>, 4>;
  if (workgroupUniformLoad(&slots[0]) == 0xffffffffu) {
    return;
  }
  for (var start = 0u; start < p.depth; start += ${DEPTH}u) {
    for (var i = l; i < ${EXPERT_TILE * DEPTH}u; i += 64u) {
      let row = i / ${DEPTH}u;
      let k = i % ${DEPTH}u;
      let slot = slots[row];
      var value = 0.0;
      if (slot >= p.row_from && slot < p.row_to && start + k < p.depth) {
        value = x[p.x_shift + (slot / p.repeat - p.x_first) * p.depth + start + k];
      }
      xs[row * ${DEPTH + 1}u + k] = value;
    }
    for (var i = l; i < ${LINEAR_COLUMNS * DEPTH}u; i += 64u) {
      let k = ${k};
      let c = ${c};
      var value = 0.0;
      if (column + c < p.columns && start + k < p.depth) {
        value = entry(${at});
      }
      ws[c * ${DEPTH + 1}u + k] = value;
    }
    workgroupBarrier();
    if (down < count) {
      for (var k = 0u; k < ${DEPTH}u; k++) {
        var y: vec4<f32>;
        for (var c = 0u; c < 4u; c++) {
          y[c] = ws[(across + c) * ${DEPTH + 1}u + k];
        }
        for (var r = 0u; r < 4u; r++) {
          sums[r] += xs[(down + r) * ${DEPTH + 1}u + k] * y;
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    if (down + r >= count) {
      break;
    }
    let slot = slots[down + r];
    if (slot < p.row_from || slot >= p.row_to) {
      continue;
    }
    for (var c = 0u; c < 4u; c++) {
      let j = column + across + c;
      if (j < p.columns) {
        let added = ${bias ? "bias[id * p.columns + j]" : "0.0"};
        out[p.out_shift + (slot - p.row_from) * p.columns + j] = sums[r][c] + added;
      }
    }
  }
}
`;
}
