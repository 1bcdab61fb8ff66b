/** The ops of DFlash drafts, on every backend. */
import {
  type BlockAttentionAttrs,
  blockAttentionOp,
  type MergeAttrs,
  mergeOp,
} from "../plugins/dflash/attention.ts";
import { opSuite } from "./conformance/mod.ts";
import type { AnyOpCases, OpCases } from "./conformance/op_cases.ts";
import { exactly, inputs, normal, type Source } from "./conformance/random.ts";
import { array } from "./conformance/reference/array.ts";
import { attention } from "./conformance/reference/attention.ts";
import type { Reference } from "./conformance/reference/types.ts";
import { devices } from "./devices.ts";
import type { Shape, Spec } from "../core/tensor.ts";

const merged: Reference<MergeAttrs> = ([outA, lseA, outB, lseB], { headDim }) => {
  const out = array(outA!.shape), lse = array(lseA!.shape);
  for (const head of lse.data.keys()) {
    const [a, b] = [lseA!.data[head]!, lseB!.data[head]!], most = Math.max(a, b);
    lse.data[head] = most + Math.log(Math.exp(a - most) + Math.exp(b - most));
    for (let i = head * headDim; i < (head + 1) * headDim; i++) {
      const [x, y] = [a, b].map((sum) => Math.exp(sum - lse.data[head]!));
      out.data[i] = x! * outA!.data[i]! + y! * outB!.data[i]!;
    }
  }
  return [out, lse];
};

function parts(rows: number, heads: number, headDim: number): readonly [Shape, Shape, Shape, Shape] {
  return [[rows, heads * headDim], [rows, heads], [rows, heads * headDim], [rows, heads]];
}

const merging: OpCases<MergeAttrs> = {
  op: mergeOp,
  reference: merged,
  tolerance: { entry: 2e-6, largest: 1e-6 },
  cases: [
    ...([[1, 1, 2], [17, 3, 10], [300, 2, 32], [0, 2, 4]] as const).map(([rows, heads, headDim]) => ({
      name: `${rows} rows of ${heads} heads`,
      inputs: inputs(...parts(rows, heads, headDim).map((shape) => normal(shape, "f32", 3)) as [Source]),
      attrs: { headDim },
    })),
    {
      name: "one of them saw nothing",
      inputs: inputs(
        exactly([1, 4], [0, 0, 1, 2]),
        exactly([1, 2], [-1e30, 90]),
        exactly([1, 4], [3, 4, 0, 0]),
        exactly([1, 2], [-90, -1e30]),
      ),
      attrs: { headDim: 2 },
    },
  ],
  refusals: [
    {
      name: "a normaliser too few",
      inputs: parts(2, 2, 3).map((shape, i): Spec => ({ shape: i === 1 ? [2, 1] : shape, dtype: "f32" })),
      attrs: { headDim: 3 },
    },
  ],
};

const blocks: Reference<BlockAttentionAttrs> = (
  [q, contextK, contextV, blockK, blockV, contextRanges, blockRanges],
  attrs,
) =>
  merged([
    ...attention([q!, contextK!, contextV!, contextRanges!], attrs),
    ...attention([q!, blockK!, blockV!, blockRanges!], attrs),
  ], { headDim: attrs.headDim });

const HEADS: BlockAttentionAttrs = { heads: 4, kvHeads: 2, headDim: 6, scale: 6 ** -0.5 };

/** Blocks of three rows behind anchors in a context of some rows. */
function blockCase(name: string, context: number, anchors: readonly number[]) {
  const rows = 3 * anchors.length, keys: Shape = [context, 12], own: Shape = [rows, 12];
  const seen = anchors.flatMap((anchor) => [0, 1, 2].flatMap(() => [Math.max(0, anchor - 9), anchor]));
  const blocks = anchors.flatMap((_, i) => [0, 1, 2].flatMap(() => [3 * i, 3 * i + 3]));
  return {
    name,
    inputs: inputs(
      normal([rows, 24]),
      ...[keys, keys, own, own].map((shape) => normal(shape)),
      exactly([rows, 2], seen, "i32"),
      exactly([rows, 2], blocks, "i32"),
    ),
    attrs: HEADS,
    gradient: [0, 1, 2, 3, 4],
  };
}

const attending: OpCases<BlockAttentionAttrs> = {
  op: blockAttentionOp,
  reference: blocks,
  tolerance: { largest: 5e-6 },
  cases: [
    blockCase("one block", 5, [4]),
    blockCase("blocks, the first without a context", 23, [0, 5, 6, 20]),
    blockCase("many blocks", 70, Array.from({ length: 12 }, (_, i) => 5 * i + 10)),
  ],
  refusals: [
    {
      name: "a range too few",
      inputs: ([[3, 24], [5, 12], [5, 12], [3, 12], [3, 12], [2, 2], [3, 2]] as const)
        .map((shape, i): Spec => ({ shape, dtype: i > 4 ? "i32" : "f32" })),
      attrs: HEADS,
    },
  ],
};

for (const { name, open, skip } of devices()) {
  for (const cases of [merging, attending] as readonly AnyOpCases[]) {
    opSuite(cases, open, {
      name,
      test: (title, fn) => Deno.test({ name: title, ignore: skip !== undefined, fn }),
    });
  }
}
