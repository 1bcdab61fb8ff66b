/** Text of the tiled product: an invocation keeps a block of the output in registers and walks along k by fours. */
import { type DType, isBlocks } from "../../../core/tensor.ts";
import { blockQuads, blockSingles } from "../_blocks.ts";
import { remember } from "../_wgsl.ts";

/** What the text depends on. Sizes are parameters; only what they are multiples of is in the text. */
export interface TileKind {
  /** `a` is stored `[K, M]`. */
  readonly transA: boolean;
  /** `b` is stored `[N, K]`. */
  readonly transB: boolean;
  /** Storage of `b`. */
  readonly dtype: DType;
  /** Rows of `a` are multiples of four entries. */
  readonly evenA: boolean;
  /** Rows of `b` are. */
  readonly evenB: boolean;
  /** Rows of `c` are. */
  readonly evenC: boolean;
  /** Add to `c` instead of writing it. */
  readonly accumulate: boolean;
}

/** Rows and columns of an invocation, and invocations of a workgroup along each. */
export interface TileShape {
  readonly rows: number;
  /** A multiple of four. */
  readonly columns: number;
  readonly across: number;
  readonly down: number;
}

/** The parameters' declaration, shared with the kernel for few rows. */
export const MATMUL_PARAMS = `struct Params {
  m: u32,
  n: u32,
  k: u32,
  lda: u32,
  ldb: u32,
  ldc: u32,
  a_shift: u32,
  b_shift: u32,
  c_shift: u32,
  a_stride: u32, // from one entry of a batch to the next
  b_stride: u32,
  c_stride: u32,
}
`;

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** A function `name(at: u32) -> vec4<f32>` of four entries from a multiple of four on, and the array's type. */
export function quads(name: string, from: string, dtype: DType): { type: string; code: string } {
  if (isBlocks(dtype)) return { type: "array<u32>", code: blockQuads(name, from, dtype) };
  switch (dtype) {
    case "bf16":
      return {
        type: "array<vec2<u32>>",
        code: `fn ${name}(at: u32) -> vec4<f32> {
  let w = ${from}[at >> 2u];
  return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}`,
      };
    case "f16":
      return {
        type: "array<vec2<u32>>",
        code: `fn ${name}(at: u32) -> vec4<f32> {
  let w = ${from}[at >> 2u];
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}`,
      };
    default:
      return {
        type: "array<vec4<f32>>",
        code: `fn ${name}(at: u32) -> vec4<f32> { return ${from}[at >> 2u]; }`,
      };
  }
}

/** A function `name(at: u32) -> f32` of one entry, and the array's type. */
export function singles(name: string, from: string, dtype: DType): { type: string; code: string } {
  if (dtype === "f32") {
    return { type: "array<f32>", code: `fn ${name}(at: u32) -> f32 { return ${from}[at]; }` };
  }
  if (isBlocks(dtype)) return { type: "array<u32>", code: blockSingles(name, from, dtype) };
  const value = dtype === "bf16"
    ? "bitcast<f32>(select(w << 16u, w & 0xffff0000u, (at & 1u) == 1u))"
    : "unpack2x16float(w)[at & 1u]";
  return {
    type: "array<u32>",
    code: `fn ${name}(at: u32) -> f32 {\n  let w = ${from}[at >> 1u];\n  return ${value};\n}`,
  };
}

/** `load_a`: four entries of a, along k at a row, or along the rows at a k where a is transposed; zeros past k's end. */
function loadA({ transA, evenA }: TileKind): { type: string; code: string } {
  const args = transA ? "k: u32, row: u32" : "row: u32, k: u32";
  const start = transA ? "k * p.lda" : "row * p.lda";
  if (evenA) {
    const { type, code } = quads("a_quad", "a", "f32");
    const inner = transA ? "min(row, p.m - 4u)" : "k";
    // Past k's end there is nothing to read only where k itself is no multiple of four.
    const guard = transA ? "if (k >= p.k) {\n    return vec4<f32>(0.0);\n  }\n  " : "";
    return {
      type,
      code: `${code}\nfn load_a(base: u32, ${args}) -> vec4<f32> {
  ${guard}return a_quad(base + ${start} + ${inner});
}`,
    };
  }
  const one = (x: number) =>
    transA
      ? `a[start + min(row + ${x}u, p.m - 1u)]`
      : `select(0.0, a[start + min(k + ${x}u, p.k - 1u)], k + ${x}u < p.k)`;
  const guard = transA ? "if (k >= p.k) {\n    return vec4<f32>(0.0);\n  }\n  " : "";
  return {
    type: "array<f32>",
    code: `fn load_a(base: u32, ${args}) -> vec4<f32> {
  ${guard}let start = base + ${start};
  return vec4<f32>(${times(4, one).join(", ")});
}`,
  };
}

/** `load_b`: four entries of b, along the columns at a k, or along k at a column where b is transposed. */
function loadB({ transB, evenB, dtype }: TileKind): { type: string; code: string } {
  const args = transB ? "column: u32, k: u32" : "k: u32, column: u32";
  // What lies past k's end meets zeros of a: any entry of the sum will do.
  const start = transB ? "min(column, p.n - 1u) * p.ldb" : "min(k, p.k - 1u) * p.ldb";
  if (evenB) {
    const { type, code } = quads("b_quad", "b", dtype);
    const inner = transB ? "k" : "min(column, p.n - 4u)";
    return {
      type,
      code:
        `${code}\nfn load_b(base: u32, ${args}) -> vec4<f32> { return b_quad(base + ${start} + ${inner}); }`,
    };
  }
  const { type, code } = singles("b_at", "b", dtype);
  const one = (x: number) =>
    transB ? `b_at(start + min(k + ${x}u, p.k - 1u))` : `b_at(start + min(column + ${x}u, p.n - 1u))`;
  return {
    type,
    code: `${code}\nfn load_b(base: u32, ${args}) -> vec4<f32> {
  let start = base + ${start};
  return vec4<f32>(${times(4, one).join(", ")});
}`,
  };
}

function products({ transA, transB }: TileKind, { rows, columns, across }: TileShape): string[] {
  const groups = columns / 4, lines: string[] = [];
  const column = (j: number, x = 0) => `column + ${4 * (j * across) + x}u`;
  for (let j = 0; j < groups; j++) {
    for (let x = 0; x < 4; x++) {
      lines.push(
        transB
          ? `let t${j}_${x} = load_b(b_base, ${column(j, x)}, k);`
          : `let b${j}_${x} = load_b(b_base, k + ${x}u, ${column(j)});`,
      );
    }
    if (!transB) continue;
    for (let x = 0; x < 4; x++) {
      lines.push(`let b${j}_${x} = vec4<f32>(${times(4, (y) => `t${j}_${y}[${x}]`).join(", ")});`);
    }
  }
  if (transA) {
    for (let q = 0; q < rows / 4; q++) {
      for (let x = 0; x < 4; x++) lines.push(`let a${x}_${q} = load_a(a_base, k + ${x}u, row + ${4 * q}u);`);
    }
  }
  for (let i = 0; i < rows; i++) {
    if (!transA) lines.push(`let a${i} = load_a(a_base, min(row + ${i}u, p.m - 1u), k);`);
    for (let j = 0; j < groups; j++) {
      for (let x = 0; x < 4; x++) {
        const factor = transA ? `a${x}_${Math.floor(i / 4)}[${i % 4}]` : `a${i}[${x}]`;
        lines.push(`c${i}_${j} = fma(vec4<f32>(${factor}), b${j}_${x}, c${i}_${j});`);
      }
    }
  }
  return lines;
}

function stores({ evenC, accumulate }: TileKind, { rows, columns, across }: TileShape): string[] {
  const set = accumulate ? "+=" : "=", lines: string[] = [];
  for (let i = 0; i < rows; i++) {
    const inner: string[] = [];
    for (let j = 0; j < columns / 4; j++) {
      const column = `column + ${4 * j * across}u`;
      if (evenC) {
        inner.push(`if (${column} < p.n) { c[(at + ${column}) >> 2u] ${set} c${i}_${j}; }`);
      } else {
        for (let x = 0; x < 4; x++) {
          inner.push(`if (${column} + ${x}u < p.n) { c[at + ${column} + ${x}u] ${set} c${i}_${j}[${x}]; }`);
        }
      }
    }
    lines.push(
      `if (row + ${i}u < p.m) {`,
      `  let at = c_base + (row + ${i}u) * p.ldc;`,
      ...inner.map((line) => `  ${line}`),
      "}",
    );
  }
  return lines;
}

/** The kernel's text; an entry of the batch is a layer of the grid. */
export const tileCode: (kind: TileKind, shape: TileShape) => string = remember(writeTileCode);

function writeTileCode(kind: TileKind, shape: TileShape): string {
  const a = loadA(kind), b = loadB(kind), { rows, columns, across, down } = shape;
  const indent = (lines: readonly string[], by: string) => lines.map((line) => by + line).join("\n");
  const zeros = times(rows, (i) => times(columns / 4, (j) => `var c${i}_${j} = vec4<f32>(0.0);`)).flat();
  return `${MATMUL_PARAMS}
@group(0) @binding(0) var<storage, read> a: ${a.type};
@group(0) @binding(1) var<storage, read> b: ${b.type};
@group(0) @binding(2) var<storage, read_write> c: ${kind.evenC ? "array<vec4<f32>>" : "array<f32>"};
@group(0) @binding(3) var<uniform> p: Params;

${a.code}
${b.code}

@compute @workgroup_size(${across}, ${down})
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>) {
  let row = (w.y * ${down}u + l.y) * ${rows}u;
  let column = w.x * ${across * columns}u + l.x * 4u;
  let a_base = p.a_shift + w.z * p.a_stride;
  let b_base = p.b_shift + w.z * p.b_stride;
  let c_base = p.c_shift + w.z * p.c_stride;
${indent(zeros, "  ")}
  for (var k = 0u; k < p.k; k += 4u) {
${indent(products(kind, shape), "    ")}
  }
${indent(stores(kind, shape), "  ")}
}
`;
}
