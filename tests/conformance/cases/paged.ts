/** Attention over pages: several sequences, trees, windows, short pages; moves of rows; the largest entries. */
import type { DType } from "../../../core/tensor.ts";
import {
  growPagesOp,
  keepPagesOp,
  type PagedAttentionAttrs,
  pagedAttentionOp,
  writePagesOp,
} from "../../../kernels/ops/paged/mod.ts";
import { type TopKAttrs, topKOp } from "../../../kernels/ops/top_k/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { exactly, inputs, normal } from "../random.ts";
import { array } from "../reference/array.ts";
import { growPages, keepPages, pagedAttention, topK, writePages } from "../reference/paged.ts";

interface Sequence {
  /** Keys that were there before. */
  readonly past: number;
  /** New rows, one behind the other; or parents of new rows. */
  readonly rows: number | readonly number[];
  /** Keys that a row sees at most. */
  readonly window?: number;
  /** A prompt. */
  readonly many?: boolean;
}

/** Pages in an order of their own, rows and tiles for them. */
function layout(sequences: readonly Sequence[], group: number) {
  const rows: number[] = [],
    pages: number[] = [],
    tiles: number[] = [],
    most = Math.max(1, Math.floor(64 / group));
  const ends = sequences.map(({ past, rows }) => past + (typeof rows === "number" ? rows : rows.length));
  const total = ends.reduce((sum, end) => sum + Math.ceil(end / 64), 0) + 1;
  let longest = 0;
  for (const [s, { past, rows: fresh, window = Infinity, many = false }] of sequences.entries()) {
    const first = rows.length / 4, table = pages.length, count = ends[s]! - past;
    for (let i = 0; i < Math.ceil(ends[s]! / 64); i++) pages.push((7 * pages.length + 3) % total);
    longest = Math.max(longest, ends[s]!);
    const sights: bigint[] = [];
    for (let i = 0; i < count; i++) {
      if (typeof fresh === "number") {
        rows.push(Math.max(0, past + i + 1 - window), past + i + 1, 0, 0);
        continue;
      }
      const parent = fresh[i]!, sight = (parent < 0 ? 0n : sights[parent]!) | 1n << BigInt(i);
      sights.push(sight);
      rows.push(0, past, Number(BigInt.asIntN(32, sight)), Number(BigInt.asIntN(32, sight >> 32n)));
    }
    for (let i = 0; i < count; i += most) {
      tiles.push(first + i, Math.min(most, count - i), table, many ? 1 : 0);
    }
  }
  return { rows, pages, tiles, total, longest };
}

const LAYOUTS: readonly { readonly name: string; readonly sequences: readonly Sequence[] }[] = [
  { name: "one row", sequences: [{ past: 0, rows: 1 }] },
  { name: "a row behind 300", sequences: [{ past: 300, rows: 1 }] },
  { name: "a row behind 1100", sequences: [{ past: 1100, rows: 1 }] },
  {
    name: "four sequences",
    sequences: [{ past: 5, rows: 4 }, { past: 130, rows: 1 }, { past: 63, rows: 3 }, { past: 0, rows: 7 }],
  },
  { name: "a prompt in pieces", sequences: [{ past: 40, rows: 150, many: true }] },
  { name: "a tree", sequences: [{ past: 50, rows: [-1, 0, 0, 1, 1, 2, 3] }] },
  {
    name: "trees beside a chain",
    sequences: [
      { past: 62, rows: [-1, 0, 0, 0, 1, 4, 4] },
      { past: 70, rows: 3 },
      { past: 128, rows: Array.from({ length: 64 }, (_, i) => Math.floor((i - 1) / 2)) },
    ],
  },
  { name: "a window", sequences: [{ past: 200, rows: 5, window: 70 }, { past: 3, rows: 2, window: 70 }] },
];

const HEADS = [[4, 2, 16], [6, 1, 10], [3, 3, 33], [8, 1, 64], [1, 1, 1]] as const;

function attend(at: number, shape: number, dtype: DType): OpCase<PagedAttentionAttrs> {
  const { name, sequences } = LAYOUTS[at]!, [heads, kvHeads, headDim] = HEADS[shape]!;
  const { rows, pages, tiles, total, longest } = layout(sequences, heads / kvHeads), count = rows.length / 4;
  return {
    name: `${name}, heads ${heads}, ${kvHeads}, ${headDim}, in ${dtype}`,
    inputs: (random) => [
      normal([count, heads * headDim])(random),
      normal([64 * total, kvHeads * headDim], dtype)(random),
      normal([64 * total, kvHeads * headDim], dtype)(random),
      array([count, 4], rows, "i32"),
      array([pages.length], pages, "i32"),
      array([tiles.length / 4, 4], tiles, "i32"),
    ],
    attrs: { heads, kvHeads, headDim, scale: headDim ** -0.5, longest },
  };
}

const attention: OpCases<PagedAttentionAttrs> = {
  op: pagedAttentionOp,
  reference: pagedAttention,
  tolerance: { largest: 4e-6 },
  cases: LAYOUTS.flatMap((_, i) => [
    attend(i, i % 5, "f32"),
    attend(i, (i + 1) % 5, "f32"),
    attend(i, (i + 2) % 5, "bf16"),
  ]),
  refusals: [{
    name: "rows that are no whole pages",
    inputs: [
      { shape: [1, 4], dtype: "f32" },
      { shape: [65, 4], dtype: "f32" },
      { shape: [65, 4], dtype: "f32" },
      { shape: [1, 4], dtype: "i32" },
      { shape: [1], dtype: "i32" },
      { shape: [1, 4], dtype: "i32" },
    ],
    attrs: { heads: 1, kvHeads: 1, headDim: 4, scale: 1, longest: 1 },
  }],
};

function moves(dtype: DType): [OpCase<Record<never, never>>, OpCase<Record<never, never>>] {
  const pools = [normal([128, 6], dtype), normal([128, 6], dtype)];
  return [{
    name: `three rows in ${dtype}`,
    inputs: inputs(...pools, normal([3, 6]), normal([3, 6]), exactly([3], [127, 0, 64], "i32")),
    attrs: {},
  }, {
    name: `rows behind one another in ${dtype}`,
    inputs: inputs(...pools, exactly([2, 3], [3, 5, 66, 2, 3, 5], "i32")),
    attrs: {},
  }];
}

const top: OpCases<TopKAttrs> = {
  op: topKOp,
  reference: topK,
  tolerance: { largest: 2e-6 },
  cases: ([[1, 1, 1], [3, 5, 5], [2, 700, 8], [1, 40000, 10], [300, 70, 64]] as const).map((
    [rows, width, count],
  ) => ({
    name: `${count} of ${width} in ${rows} rows`,
    inputs: inputs(normal([rows, width])),
    attrs: { count },
  })),
  refusals: [
    { name: "more than there are", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { count: 4 } },
    { name: "none", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: { count: 0 } },
  ],
};

/** Cases of what decoding alone uses. */
export const PAGED: readonly AnyOpCases[] = [
  attention,
  {
    op: writePagesOp,
    reference: writePages,
    tolerance: {},
    cases: [moves("f32")[0], moves("bf16")[0]],
  },
  { op: keepPagesOp, reference: keepPages, tolerance: {}, cases: [moves("f32")[1], moves("bf16")[1]] },
  {
    op: growPagesOp,
    reference: growPages,
    tolerance: {},
    // What lies behind the old pages is not defined, so the copy is compared where nothing does.
    cases: (["f32", "bf16"] as const).map((dtype) => ({
      name: `two pages in ${dtype}`,
      inputs: inputs(normal([128, 6], dtype)),
      attrs: { pages: 2 },
    })),
    refusals: [{
      name: "fewer pages than there are",
      inputs: [{ shape: [128, 6], dtype: "f32" }],
      attrs: { pages: 1 },
    }],
  },
  {
    ...top,
    cases: [...top.cases, {
      name: "equals",
      inputs: inputs(exactly([2, 4], [1, 3, 3, 1, 0, 0, 0, 0])),
      attrs: { count: 3 },
    }],
  },
];
