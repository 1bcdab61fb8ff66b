/** Text of the product of a few rows with a linear layer's weight: the lanes of a workgroup share each dot product. */
import type { DType } from "../../../core/tensor.ts";
import { remember } from "../_wgsl.ts";
import { MATMUL_PARAMS, quads, singles } from "./_tile.ts";

/** Lanes of a workgroup. */
const LANES = 64;
/** Columns of the output that a workgroup finds. */
export const FEW_COLUMNS = 4;

/** What the text depends on. */
export interface FewKind {
  /** Rows worked: 1, 2, 4 or 8. */
  readonly rows: number;
  /** Storage of `b`, `[N, K]`. */
  readonly dtype: DType;
  /** K is a multiple of four. */
  readonly even: boolean;
  /** Add to `c` instead of writing it. */
  readonly accumulate: boolean;
}

/** The kernel's text: `a` `[M, K]` with M at most `rows`. */
export const fewCode: (kind: FewKind) => string = remember(writeFewCode);

function writeFewCode({ rows, dtype, even, accumulate }: FewKind): string {
  const a = even ? quads("a_at", "a", "f32") : singles("a_at", "a", "f32");
  const b = even ? quads("b_at", "b", dtype) : singles("b_at", "b", dtype);
  const step = even ? 4 : 1, lines: string[] = [], zeros: string[] = [], parts: string[] = [];
  for (let j = 0; j < FEW_COLUMNS; j++) lines.push(`let b${j} = b_at(b_base + from${j} + k);`);
  for (let i = 0; i < rows; i++) {
    lines.push(`let a${i} = a_at(a_base + min(${i}u, p.m - 1u) * p.lda + k);`);
    const dots = [0, 1, 2, 3].map((j) => even ? `dot(a${i}, b${j})` : `a${i} * b${j}`);
    lines.push(`c${i} += vec4<f32>(${dots.join(", ")});`);
    zeros.push(`var c${i} = vec4<f32>(0.0);`);
    parts.push(`parts[${i * LANES}u + l] = c${i};`);
  }
  const columns = [0, 1, 2, 3].map((j) => `let from${j} = min(column + ${j}u, p.n - 1u) * p.ldb;`);
  const indent = (text: readonly string[], by: string) => text.map((line) => by + line).join("\n");
  return `${MATMUL_PARAMS}
@group(0) @binding(0) var<storage, read> a: ${a.type};
@group(0) @binding(1) var<storage, read> b: ${b.type};
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

${a.code}
${b.code}

var<workgroup> parts: array<vec4<f32>, ${rows * LANES}>;

@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) w: vec3<u32>,
  @builtin(num_workgroups) n: vec3<u32>,
  @builtin(local_invocation_index) l: u32,
) {
  let column = (w.y * n.x + w.x) * ${FEW_COLUMNS}u;
  let a_base = p.a_shift + w.z * p.a_stride;
  let b_base = p.b_shift + w.z * p.b_stride;
${indent(columns, "  ")}
${indent(zeros, "  ")}
  for (var k = l * ${step}u; k < p.k; k += ${LANES * step}u) {
${indent(lines, "    ")}
  }
${indent(parts, "  ")}
  workgroupBarrier();
  let row = l / ${FEW_COLUMNS}u;
  let j = l % ${FEW_COLUMNS}u;
  if (row < min(p.m, ${rows}u) && column + j < p.n) {
    var sum = 0.0;
    for (var i = 0u; i < ${LANES}u; i += 8u) {
      var part = 0.0;
      for (var x = 0u; x < 8u; x++) {
        part += parts[row * ${LANES}u + i + x][j];
      }
      sum += part;
    }
    c[p.c_shift + w.z * p.c_stride + row * p.ldc + column + j] ${accumulate ? "+=" : "="} sum;
  }
}
`;
}
