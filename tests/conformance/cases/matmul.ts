/** Products: every transpose, batches, weight dtypes, sizes around the tiles. */
import type { BlockDType } from "../../../core/tensor.ts";
import { linearsOp } from "../../../kernels/ops/linears/mod.ts";
import { matmulAddOp, type MatmulAttrs, matmulOp } from "../../../kernels/ops/matmul/mod.ts";
import type { AnyOpCases, OpCase, OpCases } from "../op_cases.ts";
import { inputs, normal } from "../random.ts";
import { linears, matmul, matmulAdd } from "../reference/matmul.ts";

const TRANSPOSES: readonly MatmulAttrs[] = [
  {},
  { transB: true },
  { transA: true },
  { transA: true, transB: true },
];

const BLOCKS: readonly BlockDType[] = ["q8_0", "q4_0", "q4_1"];

type Sizes = readonly [m: number, k: number, n: number];

const SIZES: readonly Sizes[] = [
  [1, 1, 1],
  [3, 17, 129],
  [17, 129, 3],
  [129, 3, 17],
  [1, 129, 130],
  [4, 96, 72],
  [66, 70, 130],
];

function words({ transA, transB }: MatmulAttrs): string {
  return `a${transA ? "ᵀ" : ""} · b${transB ? "ᵀ" : ""}`;
}

function shapes([m, k, n]: Sizes, { transA, transB }: MatmulAttrs, batch: readonly number[] = []) {
  return { a: [...batch, ...(transA ? [k, m] : [m, k])], b: [...batch, ...(transB ? [n, k] : [k, n])] };
}

function plain(attrs: MatmulAttrs): OpCase<MatmulAttrs>[] {
  return SIZES.map((sizes) => {
    const { a, b } = shapes(sizes, attrs);
    return {
      name: `${words(attrs)} of ${sizes.join(" × ")}`,
      inputs: inputs(normal(a), normal(b)),
      attrs,
      gradient: [0, 1],
    };
  });
}

function batched(attrs: MatmulAttrs): OpCase<MatmulAttrs>[] {
  const own = shapes([17, 33, 5], attrs, [3]), one = shapes([17, 33, 5], attrs, [1]);
  const shared = { a: own.a, b: own.b.slice(1) };
  return [
    {
      name: `${words(attrs)} of a batch of 3`,
      inputs: inputs(normal(own.a), normal(own.b)),
      attrs,
      gradient: [0, 1],
    },
    {
      name: `${words(attrs)} of a batch of 1`,
      inputs: inputs(normal(one.a), normal(one.b)),
      attrs,
      gradient: [0, 1],
    },
    {
      name: `${words(attrs)} of a batch of 3 and one b`,
      inputs: inputs(normal(shared.a), normal(shared.b)),
      attrs,
      ...(attrs.transA ? {} : { gradient: [0] }),
    },
  ];
}

function narrow(dtype: "bf16" | "f16"): OpCase<MatmulAttrs>[] {
  const sizes: readonly Sizes[] = [[1, 129, 17], [1, 64, 130], [4, 17, 129], [33, 128, 66]];
  return TRANSPOSES.flatMap((attrs) =>
    sizes.map((size) => {
      const { a, b } = shapes(size, attrs);
      return {
        name: `${words(attrs)} of ${size.join(" × ")} with b in ${dtype}`,
        inputs: inputs(normal(a), normal(b, dtype)),
        attrs,
        gradient: attrs.transA ? [1] : [0, 1],
      };
    })
  );
}

/** A weight in blocks has no gradient, what it is multiplied with has one. */
function inBlocks(dtype: BlockDType): OpCase<MatmulAttrs>[] {
  const sizes: readonly Sizes[] = [[1, 576, 5], [2, 96, 130], [3, 32, 1], [7, 64, 33], [30, 160, 66]];
  const columns: readonly Sizes[] = [[1, 5, 64], [33, 17, 96]];
  return [
    ...sizes.map((size) => ({ size, attrs: { transB: true } })),
    ...columns.map((size) => ({ size, attrs: {} })),
  ].map(({ size, attrs }) => {
    const { a, b } = shapes(size, attrs);
    return {
      name: `${words(attrs)} of ${size.join(" × ")} with b in ${dtype}`,
      inputs: inputs(normal(a), normal(b, dtype)),
      attrs,
      gradient: [0],
    };
  });
}

function empty(attrs: MatmulAttrs): OpCase<MatmulAttrs>[] {
  const sizes: readonly Sizes[] = [[0, 3, 4], [3, 0, 4], [3, 4, 0]];
  return sizes.map((size) => {
    const { a, b } = shapes(size, attrs);
    return {
      name: `${words(attrs)} of ${size.join(" × ")}`,
      inputs: inputs(normal(a), normal(b)),
      attrs,
      gradient: [0, 1],
    };
  });
}

const products: OpCases<MatmulAttrs> = {
  op: matmulOp,
  reference: matmul,
  cases: [
    ...TRANSPOSES.flatMap((attrs) => [...plain(attrs), ...batched(attrs), ...empty(attrs)]),
    ...narrow("bf16"),
    ...narrow("f16"),
    ...BLOCKS.flatMap(inBlocks),
    {
      name: "an empty batch",
      inputs: inputs(normal([0, 3, 4]), normal([0, 4, 2])),
      attrs: {},
    },
    {
      name: "a matrix by itself",
      inputs: inputs(normal([17, 17]), normal([17, 17])),
      attrs: { transB: true },
      gradient: [0],
      repeats: { 1: 0 },
    },
    { name: "70000 rows", inputs: inputs(normal([70000, 3]), normal([3, 2])), attrs: {} },
    { name: "70000 columns", inputs: inputs(normal([2, 3]), normal([3, 70000])), attrs: {} },
    {
      name: "300000 rows of a weight",
      inputs: inputs(normal([1, 1]), normal([300000, 1])),
      attrs: { transB: true },
    },
    { name: "a batch of 70000", inputs: inputs(normal([70000, 1, 2]), normal([70000, 2, 1])), attrs: {} },
    {
      name: "a long inner size",
      inputs: inputs(normal([2, 1537]), normal([5, 1537])),
      attrs: { transB: true },
      gradient: [0, 1],
    },
  ],
  refusals: [
    {
      name: "rows that are no whole blocks",
      inputs: [{ shape: [2, 48], dtype: "f32" }, { shape: [5, 48], dtype: "q8_0" }],
      attrs: { transB: true },
    },
    {
      name: "a in blocks",
      inputs: [{ shape: [2, 32], dtype: "q4_0" }, { shape: [5, 32], dtype: "f32" }],
      attrs: { transB: true },
    },
    {
      name: "inner sizes that differ",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [4, 5], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "inner sizes that differ once b is transposed",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3, 5], dtype: "f32" }],
      attrs: { transB: true },
    },
    {
      name: "batches that differ",
      inputs: [{ shape: [2, 2, 3], dtype: "f32" }, { shape: [3, 3, 5], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "a batch in b only",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [1, 3, 5], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "an integer matrix",
      inputs: [{ shape: [2, 3], dtype: "i32" }, { shape: [3, 5], dtype: "f32" }],
      attrs: {},
    },
    { name: "one input", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: {} },
    {
      name: "a row",
      inputs: [{ shape: [3], dtype: "f32" }, { shape: [3, 5], dtype: "f32" }],
      attrs: {},
    },
  ],
};

const sums: OpCases<MatmulAttrs> = {
  op: matmulAddOp,
  reference: matmulAdd,
  cases: [
    ...TRANSPOSES.flatMap((attrs) =>
      ([[1, 1, 1], [3, 17, 129], [66, 70, 130], [3, 0, 4], [0, 3, 4]] as const).map((size) => {
        const { a, b } = shapes(size, attrs), [m, , n] = size;
        return {
          name: `c + ${words(attrs)} of ${size.join(" × ")}`,
          inputs: inputs(normal(a), normal(b), normal([m, n])),
          attrs,
        };
      })
    ),
    {
      name: "b in bf16",
      inputs: inputs(normal([5, 33]), normal([33, 17], "bf16"), normal([5, 17])),
      attrs: {},
    },
    ...BLOCKS.flatMap((dtype) =>
      [1, 5, 40].map((rows) => ({
        name: `${rows} rows with b in ${dtype}`,
        inputs: inputs(normal([rows, 64]), normal([17, 64], dtype), normal([rows, 17])),
        attrs: { transB: true },
      }))
    ),
  ],
  refusals: [
    {
      name: "a sum of another shape",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3, 5], dtype: "f32" }, {
        shape: [5, 2],
        dtype: "f32",
      }],
      attrs: {},
    },
    {
      name: "no sum",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [3, 5], dtype: "f32" }],
      attrs: {},
    },
    {
      name: "batches",
      inputs: [{ shape: [2, 2, 3], dtype: "f32" }, { shape: [2, 3, 5], dtype: "f32" }, {
        shape: [2, 2, 5],
        dtype: "f32",
      }],
      attrs: {},
    },
  ],
};

/** Rows, inner size, and columns of each weight. */
const LAYERS: readonly (readonly [number, number, readonly number[]])[] = [
  [1, 192, [192, 64, 64]],
  [4, 129, [17, 3]],
  [3, 17, [129]],
  [17, 40, [66, 130, 1]],
  [33, 70, [130, 5]],
  [0, 3, [4, 2]],
  [3, 0, [4, 2]],
  [2, 8, Array.from({ length: 14 }, (_, i) => i + 1)],
];

const layers: OpCases<Record<never, never>> = {
  op: linearsOp,
  reference: linears,
  cases: [
    ...(["f32", "bf16", "f16"] as const).flatMap((dtype) =>
      LAYERS.map(([m, k, columns]) => ({
        name: `${m} × ${k} by ${columns.join(", ")} columns in ${dtype}`,
        inputs: inputs(normal([m, k]), ...columns.map((n) => normal([n, k], dtype))),
        attrs: {},
        gradient: [0, ...columns.keys().map((i) => i + 1)],
      }))
    ),
    ...BLOCKS.flatMap((dtype) =>
      ([[1, 192, [192, 64, 64]], [5, 64, [17, 3]], [33, 96, [66, 1]]] as const).map(([m, k, columns]) => ({
        name: `${m} × ${k} by ${columns.join(", ")} columns in ${dtype}`,
        inputs: inputs(normal([m, k]), ...columns.map((n) => normal([n, k], dtype))),
        attrs: {},
        gradient: [0],
      }))
    ),
  ],
  refusals: [
    { name: "no weight", inputs: [{ shape: [2, 3], dtype: "f32" }], attrs: {} },
    {
      name: "weights of two dtypes",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [4, 3], dtype: "f32" }, {
        shape: [4, 3],
        dtype: "bf16",
      }],
      attrs: {},
    },
    {
      name: "a weight of another inner size",
      inputs: [{ shape: [2, 3], dtype: "f32" }, { shape: [4, 3], dtype: "f32" }, {
        shape: [4, 5],
        dtype: "f32",
      }],
      attrs: {},
    },
  ],
};

/** Cases of the products. */
export const MATMUL: readonly AnyOpCases[] = [products, sums, layers];
