/** The losses that one kernel computes, and how it names them. */
export const LOSS_KINDS = {
  reverse_kl: 0,
  jensen_shannon: 1,
  cross_entropy: 2,
  total_variation: 3,
  acceptance: 4,
  hybrid: 5,
} as const;

/** One of them. */
export type LossKind = keyof typeof LOSS_KINDS;
