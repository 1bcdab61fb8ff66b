/**
 * Cases of every built-in op.
 *
 * @module
 */
import type { AnyOpCases } from "../op_cases.ts";
import { ATTENTION } from "./attention.ts";
import { COPY } from "./copy.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { EXPERTS } from "./experts.ts";
import { GATHER } from "./gather.ts";
import { LOSS } from "./losses.ts";
import { MATMUL } from "./matmul.ts";
import { PAGED } from "./paged.ts";
import { ROWS } from "./rows.ts";
import { VISION } from "./vision.ts";
import { TRAINING } from "./training.ts";

/** All of them, one entry an op. */
export const OP_CASES: readonly AnyOpCases[] = [
  ...MATMUL,
  ...ELEMENTWISE,
  ...COPY,
  ...GATHER,
  ...EXPERTS,
  ...VISION,
  ...ROWS,
  ...ATTENTION,
  ...PAGED,
  ...LOSS,
  ...TRAINING,
];
