/** Products on the CPU: packed panels, or a few rows against a weight that is read once. */
import { BLOCK, BYTES, type Tensor, type WasmCall } from "../../../core/tensor.ts";
import { DTYPE_CODE, lines, type Wasm, workspace } from "../_wasm.ts";
import { type MatmulAttrs, sizes } from "./mod.ts";

/** Rows of `a` up to which packing a stored-transposed `b` costs more than it gains. */
export const FEW_ROWS = 24;
/** Entries of each side that are packed at once. */
const PACKED = 4 << 20;
/** Multiplications that are worth a thread's while. */
const WORTH = 1 << 17;
/** The same where the other side of the product is a few rows: nothing is packed, a thread begins at once. */
const WORTH_ROWS = 1 << 16;

/** One product of matrices: addresses and sizes. */
export interface Product {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transA: boolean;
  readonly transB: boolean;
  /** Dtype of `b`. */
  readonly code: number;
  /** Bytes of an entry of `b`; in blocks a part of the block's. */
  readonly size: number;
  readonly add: boolean;
  /** As a few rows, however many there are. */
  readonly steady?: boolean;
  /** Columns worked, of the N that a row of `c` has; all of them if absent. */
  readonly columns?: number;
}

/** Packs rows of `a` (panels of 4) or columns of `b` (panels of 8) in panels that lie one after another. */
function pack(
  call: WasmCall,
  side: { from: number; to: number; count: number; k: number; stride: number; inner: boolean; code: number },
  width: 4 | 8,
): void {
  const { from, to, count, k, stride, inner, code } = side;
  const grain = Math.ceil(WORTH / 8 / (k * width));
  call.launch(
    "matmul_pack",
    [from, to, count, k, stride, inner ? 1 : 0, code, width],
    Math.ceil(count / width),
    grain,
  );
}

/** Tiles large enough to stay in caches, small enough for all threads to have some. */
function tileSize(m: number, n: number, threads: number): [number, number] {
  let [rows, columns] = [32, 256];
  const tiles = () => Math.ceil(m / rows) * Math.ceil(n / columns);
  while (threads > 1 && tiles() < 4 * threads && columns > 32) columns /= 2;
  while (threads > 1 && tiles() < 4 * threads && rows > 16) rows /= 2;
  return [rows, columns];
}

/** Widens entries that are stored in blocks, whole rows of them. */
function widen(
  call: WasmCall,
  { from, to, count, code }: Record<"from" | "to" | "count" | "code", number>,
): void {
  call.launch("widen", [from, to, code], count / BLOCK, Math.ceil(WORTH / 8 / BLOCK));
}

/** Products with a weight in blocks: some rows of it are widened at a time; all of it where it is not transposed. */
function inBlocks(call: WasmCall, p: Product): void {
  const { n, k, code, transB } = p, [rows, width] = transB ? [n, k] : [k, n];
  const most = transB ? Math.max(64, Math.floor(PACKED / k / 64) * 64) : rows;
  const to = call.scratch(Math.min(rows, most) * width * 4);
  for (let start = 0; start < rows; start += most) {
    const count = Math.min(most, rows - start);
    widen(call, { from: p.b + start * width * p.size, to, count: count * width, code });
    packed(
      call,
      transB
        ? { ...p, b: to, c: p.c + start * 4, columns: count, code: 0, size: 4 }
        : { ...p, b: to, code: 0, size: 4 },
    );
  }
}

function packed(call: WasmCall, p: Product): void {
  const { m, k } = p, n = p.columns ?? p.n;
  const most = Math.max(64, Math.floor(PACKED / k / 64) * 64);
  const [blockM, blockN] = [Math.min(m, most), Math.min(n, most)];
  const bytesA = lines(Math.ceil(blockM / 4) * 4 * k * 4);
  const toA = workspace(call, bytesA + Math.ceil(blockN / 8) * 8 * k * 4), toB = toA + bytesA;
  for (let j = 0; j < n; j += blockN) {
    const columns = Math.min(blockN, n - j);
    pack(call, {
      from: p.b + j * (p.transB ? k : 1) * p.size,
      to: toB,
      count: columns,
      k,
      stride: p.transB ? k : n,
      inner: p.transB,
      code: p.code,
    }, 8);
    for (let i = 0; i < m; i += blockM) {
      const rows = Math.min(blockM, m - i);
      if (j === 0 || blockM < m) {
        pack(call, {
          from: p.a + i * (p.transA ? 1 : k) * 4,
          to: toA,
          count: rows,
          k,
          stride: p.transA ? m : k,
          inner: !p.transA,
          code: 0,
        }, 4);
      }
      const [tileM, tileN] = tileSize(rows, columns, call.threads);
      call.launch(
        "matmul_tiles",
        [toA, toB, p.c + (i * p.n + j) * 4, rows, columns, k, p.n, p.add ? 1 : 0, tileM, tileN],
        Math.ceil(rows / tileM) * Math.ceil(columns / tileN),
        Math.ceil(WORTH / (tileM * tileN * k)),
      );
    }
  }
}

/** Columns a thread takes at once: equal parts, or one thread would wait for another; fours, as the kernel works. */
export function rowsGrain(
  threads: number,
  { m, n, k }: { readonly m: number; readonly n: number; readonly k: number },
): number {
  const parts = Math.max(1, Math.floor(m * n * k / WORTH_ROWS));
  const each = parts <= threads ? Math.min(parts, threads) : Math.ceil(parts / threads / 4) * threads;
  return Math.ceil(n / each / 4) * 4;
}

/** One product, by the way that suits its sizes. */
export function multiply(call: WasmCall, p: Product): void {
  const { m, n, k } = p;
  if (m === 0 || n === 0) return;
  if (k === 0) {
    if (!p.add) call.launch("clear", [p.c], m * n * 4, m * n * 4);
  } else if ((m <= FEW_ROWS || p.steady) && !p.transA && p.transB) {
    const work = p.code !== 0 ? workspace(call, m * k * 4 * call.threads) : 0;
    const args = [p.a, p.b, p.c, m, k, k, n, p.code, p.add ? 1 : 0, work];
    call.launch("matmul_rows", args, n, rowsGrain(call.threads, p));
  } else if (p.code > DTYPE_CODE.u8) inBlocks(call, p);
  else packed(call, p);
}

function all(
  call: WasmCall,
  inputs: readonly Tensor[],
  out: Tensor,
  attrs: MatmulAttrs,
  add: boolean,
): void {
  const { batch, m, n, k, sharedB } = sizes("matmul", inputs, attrs);
  const { transA = false, transB = false, steady = false } = attrs;
  const b = inputs[1]!, size = BYTES[b.dtype];
  const one = {
    a: call.address(inputs[0]!),
    b: call.address(b),
    c: call.address(out),
    m,
    n,
    k,
    transA,
    transB,
    code: DTYPE_CODE[b.dtype],
    size,
    add,
    steady,
  };
  if (sharedB && !transA) return multiply(call, { ...one, m: batch * m });
  for (let i = 0; i < batch; i++) {
    multiply(call, {
      ...one,
      a: one.a + i * m * k * 4,
      b: one.b + (sharedB ? 0 : i * n * k * size),
      c: one.c + i * m * n * 4,
    });
  }
}

/** `a · b`. */
export const wasm: Wasm<MatmulAttrs> = (call, inputs, outputs, attrs) => {
  all(call, inputs, outputs[0]!, attrs, false);
};

/** `c += a · b`. */
export const wasmAdd: Wasm<MatmulAttrs> = (call, inputs, outputs, attrs) => {
  all(call, inputs, outputs[0]!, attrs, true);
};
