/** Matrix products on WebGPU: which kernel, and in which blocks where a binding cannot cover a matrix. */
import { BYTES, type DType, type Spec, type WgslLimits, type WgslPass } from "../../../core/tensor.ts";
import { bindingOf, fold, inputWindow, outputWindow, runs, u32, window } from "../_wgsl.ts";
import { FEW_COLUMNS, fewCode } from "./_few.ts";
import { tileCode, type TileShape } from "./_tile.ts";
import { type MatmulAttrs, type MatmulSizes, sizes } from "./mod.ts";

/** Rows up to which a product is worked along k by all lanes. */
const FEW_ROWS = 8;

/** A part of the product: batch entries, rows, columns and terms. */
interface Part {
  readonly batch: Run;
  readonly m: Run;
  readonly n: Run;
  readonly k: Run;
}

type Run = { readonly start: number; readonly count: number };

function tileShape(m: number, n: number): TileShape {
  if (m <= 8) return { rows: 4, columns: 4, across: 32, down: m <= 4 ? 1 : 2 };
  if (m * n <= 128 * 128) return { rows: 4, columns: 4, across: 8, down: 8 };
  return { rows: 8, columns: 8, across: 8, down: 8 };
}

/** Cuts a product so that every binding covers its part of each matrix. */
function cut(
  s: MatmulSizes,
  attrs: MatmulAttrs,
  { dtype, limits }: { dtype: DType; limits: WgslLimits },
): Part[] {
  const { transA = false, transB = false } = attrs,
    bytes = BYTES[dtype],
    most = bindingOf(dtype, limits.maxBinding);
  const whole = (count: number): Run[] => [{ start: 0, count }];
  const batches = Math.max(s.m * s.k * 4, s.k * s.n * bytes, s.m * s.n * 4) * s.batch <= most - 256
    ? runs(s.batch, 1, limits.maxWorkgroups + 256)
    : runs(s.batch, most, most);
  const m = attrs.steady && !transA && transB
    ? Array.from({ length: Math.ceil(s.m / FEW_ROWS) }, (_, i): Run => {
      const start = i * FEW_ROWS;
      return { start, count: Math.min(FEW_ROWS, s.m - start) };
    })
    : s.m * s.n * 4 > most || (!transA && s.m * s.k * 4 > most)
    ? runs(s.m, 4 * Math.max(s.n, transA ? 0 : s.k), most)
    : whole(s.m);
  const n = transB && s.n * s.k * bytes > most ? runs(s.n, s.k * bytes, most) : whole(s.n);
  const rowBytes = Math.max(transA ? 4 * s.m : 0, transB ? 0 : s.n * bytes);
  const k = s.k * rowBytes > most ? runs(s.k, rowBytes, most) : whole(s.k);
  return batches.flatMap((batch) => m.flatMap((m) => n.flatMap((n) => k.map((k) => ({ batch, m, n, k })))));
}

function product(
  kind: { readonly s: MatmulSizes; readonly attrs: MatmulAttrs; readonly dtype: DType },
  part: Part,
  accumulate: boolean,
): WgslPass {
  const { s, attrs: { transA = false, transB = false }, dtype } = kind, { batch, m, n, k } = part;
  const [lda, ldb, ldc] = [transA ? s.m : s.k, transB ? s.k : s.n, s.n];
  const bBatch = s.sharedB ? 0 : batch.start, bStride = s.sharedB ? 0 : s.n * s.k;
  const span = (run: Run, rows: Run, columns: Run, { ld, stride }: { ld: number; stride: number }) => ({
    start: run.start * stride + rows.start * ld + columns.start,
    count: (run.count - 1) * stride + Math.max(0, (rows.count - 1) * ld + columns.count),
  });
  const [ar, ac] = transA ? [k, m] : [m, k], [br, bc] = transB ? [n, k] : [k, n];
  const a = span(batch, ar, ac, { ld: lda, stride: s.m * s.k });
  const b = span({ start: bBatch, count: s.sharedB ? 1 : batch.count }, br, bc, { ld: ldb, stride: bStride });
  const c = span(batch, m, n, { ld: ldc, stride: s.m * s.n });
  const empty = k.count === 0; // then nothing is read
  const aw = window(empty ? 0 : a.start, empty ? 0 : a.count, 4);
  const bw = window(empty ? 0 : b.start, empty ? 0 : b.count, BYTES[dtype]);
  const cw = window(c.start, c.count, 4);
  const params = [
    m.count,
    n.count,
    k.count,
    lda,
    ldb,
    ldc,
    aw.shift,
    bw.shift,
    cw.shift,
    s.m * s.k,
    bStride,
    s.m * s.n,
  ].map(u32);
  const bind = [inputWindow(0, aw), inputWindow(1, bw), outputWindow(0, cw)];
  const even = (...numbers: number[]) => numbers.every((x) => x % 4 === 0);
  if (!transA && transB && m.count <= FEW_ROWS && batch.count === 1) {
    const rows = 2 ** Math.ceil(Math.log2(m.count));
    const code = fewCode({ rows, dtype, even: even(s.k, k.start, k.count), accumulate });
    return { code, bind, params, grid: fold(Math.ceil(n.count / FEW_COLUMNS)) };
  }
  const shape = tileShape(m.count, n.count);
  const code = tileCode({
    transA,
    transB,
    dtype,
    evenA: transA ? even(s.m, m.start, m.count) : even(s.k, k.start, k.count),
    evenB: transB ? even(s.k, k.start, k.count) : even(s.n, n.start, n.count),
    evenC: even(s.n, n.start, n.count),
    accumulate,
  }, shape);
  return {
    code,
    bind,
    params,
    grid: [
      Math.ceil(n.count / (shape.across * shape.columns)),
      Math.ceil(m.count / (shape.down * shape.rows)),
      batch.count,
    ],
  };
}

function passes(
  inputs: readonly Spec[],
  attrs: MatmulAttrs,
  { limits, accumulate }: { readonly limits: WgslLimits; readonly accumulate: boolean },
): WgslPass[] {
  const found = sizes("matmul", inputs, attrs), { dtype } = inputs[1]!;
  // A batch that shares b is one taller matrix.
  const tall = found.sharedB && !attrs.transA;
  const s = tall ? { ...found, batch: 1, m: found.batch * found.m, sharedB: false } : found;
  if (s.batch * s.m * s.n === 0 || (accumulate && s.k === 0)) return [];
  return cut(s, attrs, { dtype, limits })
    .map((part) => product({ s, attrs, dtype }, part, accumulate || part.k.start > 0));
}

/** `a · b`. */
export function wgsl(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: MatmulAttrs,
  limits: WgslLimits,
): WgslPass[] {
  return passes(inputs, attrs, { limits, accumulate: false });
}

/** `c += a · b`. */
export function wgslAdd(
  inputs: readonly Spec[],
  _outputs: readonly Spec[],
  attrs: MatmulAttrs,
  limits: WgslLimits,
): WgslPass[] {
  return passes(inputs, attrs, { limits, accumulate: true });
}
