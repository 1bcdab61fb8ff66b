/** Attention: causal, documents, diagonals, grouped heads, queries that see nothing. */
import { type AttentionAttrs, attentionGradOp, attentionOp } from "../../../kernels/ops/attention/mod.ts";
import type { Spec } from "../../../core/tensor.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { normal, type Random } from "../random.ts";
import { array, type HostArray, round } from "../reference/array.ts";
import { attention, attentionGrad } from "../reference/attention.ts";

type Range = readonly [from: number, to: number];

interface Layout {
  readonly name: string;
  readonly rows: number;
  readonly keys: number;
  /** Keys that a query sees. */
  readonly range: (t: number) => Range;
  readonly diagonals?: number;
}

/** Queries t = 0 … T−1 of one document: itself and what is before. */
const causal = (t: number): Range => [0, t + 1];

/** Documents of 40 rows. */
const documents = (t: number): Range => [t - t % 40, t + 1];

const LAYOUTS: readonly Layout[] = [
  { name: "one query, one key", rows: 1, keys: 1, range: causal },
  { name: "3 causal", rows: 3, keys: 3, range: causal },
  { name: "17 causal", rows: 17, keys: 17, range: causal },
  { name: "129 in documents", rows: 129, keys: 129, range: documents },
  { name: "17 that see all of 129", rows: 17, keys: 129, range: () => [0, 129] },
  { name: "one query after 300 keys", rows: 1, keys: 300, range: () => [0, 300] },
  { name: "4 queries at the end of 129", rows: 4, keys: 129, range: (t) => [0, 126 + t] },
  { name: "a cache with room", rows: 3, keys: 70, range: (t) => [0, 20 + t] },
  { name: "windows inside", rows: 40, keys: 90, range: (t) => [t, t + 33] },
  { name: "some that see nothing", rows: 17, keys: 40, range: (t) => t % 3 === 0 ? [t, t] : [t, t + 5] },
  { name: "none that sees anything", rows: 5, keys: 7, range: () => [0, 0] },
  { name: "ranges that end before they begin", rows: 5, keys: 7, range: (t) => [t, t - 1] },
  { name: "1 diagonal", rows: 17, keys: 34, range: causal, diagonals: 1 },
  { name: "2 diagonals in documents", rows: 129, keys: 387, range: documents, diagonals: 2 },
  {
    name: "6 diagonals, some with nothing else",
    rows: 33,
    keys: 231,
    range: (t) => t % 4 === 0 ? [0, 0] : causal(t),
    diagonals: 6,
  },
  { name: "the last 5 of 70, 2 diagonals", rows: 5, keys: 80, range: (t) => [0, 66 + t], diagonals: 2 },
  {
    name: "first keys fewer than queries, 1 diagonal",
    rows: 40,
    keys: 43,
    range: () => [1, 3],
    diagonals: 1,
  },
  { name: "diagonals alone", rows: 17, keys: 34, range: () => [0, 0], diagonals: 2 },
  { name: "no queries", rows: 0, keys: 5, range: causal },
  { name: "no queries and diagonals", rows: 0, keys: 0, range: causal, diagonals: 2 },
];

type Heads = readonly [heads: number, kvHeads: number, headDim: number];

const HEADS: readonly Heads[] = [[1, 1, 1], [4, 2, 16], [6, 1, 10], [3, 3, 33]];

/** Pairs of rows that see each other, as many as asked for. */
function long(rows: number): Layout {
  return { name: `${rows} queries`, rows, keys: rows, range: (t) => [t - t % 2, t + 1] };
}

/** Shapes that all layouts need not be tried with. */
const WIDE: readonly Heads[] = [[2, 1, 64], [4, 4, 24], [2, 2, 128], [1, 1, 129]];

function draw(layout: Layout, [heads, kvHeads, headDim]: Heads, random: Random): HostArray[] {
  const { rows, keys, range } = layout;
  const ranges = Array.from({ length: rows }, (_, t) => range(t)).flat();
  return [
    normal([rows, heads * headDim])(random),
    normal([keys, kvHeads * headDim])(random),
    normal([keys, kvHeads * headDim])(random),
    array([rows, 2], ranges, "i32"),
  ];
}

function attrsOf({ diagonals }: Layout, [heads, kvHeads, headDim]: Heads): AttentionAttrs {
  const scale = 1 / Math.sqrt(headDim);
  return { heads, kvHeads, headDim, scale, ...(diagonals === undefined ? {} : { diagonals }) };
}

function forward(layout: Layout, heads: Heads): OpCase<AttentionAttrs> {
  const small = layout.rows * layout.keys * heads[0] * heads[2] < 100000;
  return {
    name: `${layout.name}, heads ${heads.join(", ")}`,
    inputs: (random) => draw(layout, heads, random),
    attrs: attrsOf(layout, heads),
    ...(small ? { gradient: [0, 1, 2] } : {}), // the large ones: see the gradient op
  };
}

function backward(layout: Layout, heads: Heads): OpCase<AttentionAttrs> {
  const attrs = attrsOf(layout, heads);
  return {
    name: `${layout.name}, heads ${heads.join(", ")}`,
    inputs(random) {
      const drawn = draw(layout, heads, random);
      const found = attention(drawn, attrs).map((x) => ({
        ...x,
        data: x.data.map((value) => round(value, "f32")),
      }));
      return [...drawn, ...found, normal(drawn[0]!.shape)(random)];
    },
    attrs,
  };
}

function all(
  make: (layout: Layout, heads: Heads) => OpCase<AttentionAttrs>,
  longest: number,
): OpCase<AttentionAttrs>[] {
  return [
    make(long(longest), [1, 1, 1]),
    ...LAYOUTS.flatMap((layout, i) =>
      [HEADS[i % 4]!, HEADS[(i + 1) % 4]!].map((heads) => make(layout, heads))
    ),
    ...WIDE.flatMap((heads) => [LAYOUTS[2]!, LAYOUTS[6]!, LAYOUTS[12]!].map((layout) => make(layout, heads))),
  ];
}

function peaked(random: Random): HostArray[] {
  const [q, k, v, ranges] = draw(LAYOUTS[2]!, [4, 2, 16], random) as [
    HostArray,
    HostArray,
    HostArray,
    HostArray,
  ];
  const q10 = { ...q, data: q.data.map((x) => Math.fround(10 * x)) };
  const k10 = { ...k, data: k.data.map((x) => Math.fround(10 * x)) };
  return [q10, k10, v, ranges];
}

const SPECS: readonly Spec[] = [
  { shape: [3, 8], dtype: "f32" },
  { shape: [5, 4], dtype: "f32" },
  { shape: [5, 4], dtype: "f32" },
  { shape: [3, 2], dtype: "i32" },
];

const ATTRS: AttentionAttrs = { heads: 4, kvHeads: 2, headDim: 2, scale: 0.5 };

function replaced(at: number, spec: Spec): Spec[] {
  return SPECS.map((one, i) => i === at ? spec : one);
}

const refusals = [
  { name: "heads that are no multiple", inputs: SPECS, attrs: { ...ATTRS, kvHeads: 3 } },
  { name: "no heads", inputs: SPECS, attrs: { ...ATTRS, heads: 0 } },
  { name: "another head size", inputs: SPECS, attrs: { ...ATTRS, headDim: 4 } },
  {
    name: "values of another shape than the keys",
    inputs: replaced(2, { shape: [4, 4], dtype: "f32" }),
    attrs: ATTRS,
  },
  { name: "a range too few", inputs: replaced(3, { shape: [2, 2], dtype: "i32" }), attrs: ATTRS },
  { name: "ranges of floats", inputs: replaced(3, { shape: [3, 2], dtype: "f32" }), attrs: ATTRS },
  { name: "keys too few for the blocks", inputs: SPECS, attrs: { ...ATTRS, diagonals: 2 } },
];

const forwards: OpCases<AttentionAttrs> = {
  op: attentionOp,
  reference: attention,
  tolerance: { largest: 4e-6 },
  cases: [
    ...all(forward, 70000),
    {
      name: "scores far apart",
      inputs: peaked,
      attrs: attrsOf(LAYOUTS[2]!, [4, 2, 16]),
      tolerance: { largest: 3e-5 },
    },
  ],
  refusals,
};

const backwards: OpCases<AttentionAttrs> = {
  op: attentionGradOp,
  reference: attentionGrad,
  tolerance: { largest: 1e-5 },
  cases: all(backward, 5000),
  refusals: [{ name: "the inputs of the forward call only", inputs: SPECS, attrs: ATTRS }],
};

/** Cases of attention. */
export const ATTENTION: readonly AnyOpCases[] = [forwards, backwards];
