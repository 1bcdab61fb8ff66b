//! How far a draft's distribution is from the verifier's, row by row, with the gradient.

use super::rows::{CHUNK, normaliser};
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

const REVERSE_KL: usize = 0;
const JENSEN_SHANNON: usize = 1;
const CROSS_ENTROPY: usize = 2;
const TOTAL_VARIATION: usize = 3;
const ACCEPTANCE: usize = 4;
const HYBRID: usize = 5;

/// Least share accepted that the logarithm is taken of.
const LEAST: f64 = 1e-5;
/// How soon the hybrid turns from divergence to total variation.
const ETA: f64 = 3.0;
/// What stands beyond a row's end: no probability, and a finite logarithm.
const BEYOND: f32 = -3.0e38;

/// One row's distributions: `q` of the logits, `p` of the targets.
struct Row {
    x: *const f32,
    y: *const f32,
    n: usize,
    most: [v128; 2],
    log: [v128; 2],
    scale: [v128; 2],
}

/// Four entries: log q, log p, q, p.
type Four = [v128; 4];

impl Row {
    unsafe fn new(x: *const f32, y: *const f32, n: usize) -> Row {
        let ((most_x, total_x), (most_y, total_y)) = unsafe { (normaliser(x, n), normaliser(y, n)) };
        Row {
            x,
            y,
            n,
            most: [f32x4_splat(most_x), f32x4_splat(most_y)],
            log: [f32x4_splat(total_x.ln()), f32x4_splat(total_y.ln())],
            scale: [f32x4_splat(1.0 / total_x), f32x4_splat(1.0 / total_y)],
        }
    }

    #[inline(always)]
    unsafe fn four(&self, i: usize) -> Four {
        unsafe {
            let (x, y) = if i + 4 <= self.n {
                (load(self.x.add(i)), load(self.y.add(i)))
            } else {
                (rest(self.x.add(i), self.n - i), rest(self.y.add(i), self.n - i))
            };
            let (u, v) = (f32x4_sub(x, self.most[0]), f32x4_sub(y, self.most[1]));
            let [q, p] = exps([u, v]);
            [
                f32x4_sub(u, self.log[0]),
                f32x4_sub(v, self.log[1]),
                f32x4_mul(q, self.scale[0]),
                f32x4_mul(p, self.scale[1]),
            ]
        }
    }

    /// Sums of three terms over the row.
    #[inline(always)]
    unsafe fn sums(&self, terms: impl Fn(Four) -> [v128; 3]) -> [f64; 3] {
        let mut total = [0f64; 3];
        let mut i = 0;
        while i < self.n {
            let to = self.n.min(i + CHUNK);
            let mut part = [ZERO; 3];
            while i < to {
                let found = terms(unsafe { self.four(i) });
                for k in 0..3 {
                    part[k] = f32x4_add(part[k], found[k]);
                }
                i += 4;
            }
            for k in 0..3 {
                total[k] += sum(part[k]) as f64;
            }
        }
        total
    }

    #[inline(always)]
    unsafe fn each(&self, out: *mut f32, entry: impl Fn(Four) -> v128) {
        let mut i = 0;
        while i < self.n {
            unsafe {
                let found = entry(self.four(i));
                if i + 4 <= self.n {
                    store(out.add(i), found);
                } else {
                    let mut four = [0f32; 4];
                    store(four.as_mut_ptr(), found);
                    core::ptr::copy_nonoverlapping(four.as_ptr(), out.add(i), self.n - i);
                }
            }
            i += 4;
        }
    }
}

unsafe fn rest(from: *const f32, n: usize) -> v128 {
    let mut four = [BEYOND; 4];
    unsafe {
        core::ptr::copy_nonoverlapping(from, four.as_mut_ptr(), n);
        load(four.as_ptr())
    }
}

/// log of four numbers, 0 as if it were 1e-37.
fn logs(x: v128) -> v128 {
    let x = f32x4_max(x, f32x4_splat(1e-37));
    f32x4(
        f32x4_extract_lane::<0>(x).ln(),
        f32x4_extract_lane::<1>(x).ln(),
        f32x4_extract_lane::<2>(x).ln(),
        f32x4_extract_lane::<3>(x).ln(),
    )
}

/// `log ((p + q) / 2)`.
fn middle(four: Four) -> v128 {
    logs(f32x4_mul(f32x4_splat(0.5), f32x4_add(four[2], four[3])))
}

/// A loss of rows and its gradient; items are rows. Arguments: logits, targets, weights, loss, dlogits, V, which loss.
pub unsafe fn losses(args: Args, begin: usize, end: usize, _thread: usize) {
    let (logits, targets, weights) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (loss, dlogits, n, kind) = (args.output::<f32>(3), args.output::<f32>(4), args.size(5), args.size(6));
    for at in begin..end {
        unsafe {
            let (x, y, dx) = (logits.add(at * n), targets.add(at * n), dlogits.add(at * n));
            let weight = *weights.add(at);
            if weight == 0.0 || n == 0 {
                core::ptr::write_bytes(dx, 0, n);
                *loss.add(at) = 0.0;
                continue;
            }
            let row = Row::new(x, y, n);
            let value = match kind {
                REVERSE_KL => reverse_kl(&row, dx, weight),
                JENSEN_SHANNON => jensen_shannon(&row, dx, weight),
                CROSS_ENTROPY => cross_entropy(&row, dx, weight),
                _ => overlap(&row, dx, weight, kind),
            };
            *loss.add(at) = (value * weight as f64) as f32;
        }
    }
}

/// Gradient `q · (log q − log p − loss)`.
unsafe fn reverse_kl(row: &Row, dx: *mut f32, weight: f32) -> f64 {
    unsafe {
        let [value, ..] = row.sums(|[lq, lp, q, _]| [f32x4_mul(q, f32x4_sub(lq, lp)), ZERO, ZERO]);
        let (w, l) = (f32x4_splat(weight), f32x4_splat(value as f32));
        row.each(dx, |[lq, lp, q, _]| f32x4_mul(f32x4_mul(w, q), f32x4_sub(f32x4_sub(lq, lp), l)));
        value
    }
}

/// Gradient `½ q · (log q − log m − KL(q ‖ m))`.
unsafe fn jensen_shannon(row: &Row, dx: *mut f32, weight: f32) -> f64 {
    unsafe {
        let [from_q, from_p, _] = row.sums(|four| {
            let (m, [lq, lp, q, p]) = (middle(four), four);
            [f32x4_mul(q, f32x4_sub(lq, m)), f32x4_mul(p, f32x4_sub(lp, m)), ZERO]
        });
        let (w, l) = (f32x4_splat(0.5 * weight), f32x4_splat(from_q as f32));
        row.each(dx, |four| {
            let apart = f32x4_sub(four[0], middle(four));
            f32x4_mul(f32x4_mul(w, four[2]), f32x4_sub(apart, l))
        });
        0.5 * (from_q + from_p)
    }
}

/// Gradient `q`, less 1 at the likeliest target.
unsafe fn cross_entropy(row: &Row, dx: *mut f32, weight: f32) -> f64 {
    unsafe {
        let most = f32x4_extract_lane::<0>(row.most[1]);
        let mut at = 0;
        while at + 1 < row.n && *row.y.add(at) != most {
            at += 1;
        }
        let w = f32x4_splat(weight);
        row.each(dx, |[_, _, q, _]| f32x4_mul(w, q));
        *dx.add(at) -= weight;
        let (most, log) = (f32x4_extract_lane::<0>(row.most[0]), f32x4_extract_lane::<0>(row.log[0]));
        log as f64 - (*row.x.add(at) - most) as f64
    }
}

/// Losses of the share refused, `Σ max(p − q, 0)`, whose gradient is `q · (Σ q where q ≤ p − [q ≤ p])`.
unsafe fn overlap(row: &Row, dx: *mut f32, weight: f32, kind: usize) -> f64 {
    unsafe {
        // The third sum is the divergence, or the share accepted where that may be so small that 1 − refused has no digits.
        let [refused, below, third] = row.sums(|[lq, lp, q, p]| {
            let refused = f32x4_max(f32x4_sub(p, q), ZERO);
            let third = if kind == ACCEPTANCE { f32x4_min(p, q) } else { f32x4_mul(p, f32x4_sub(lp, lq)) };
            [refused, v128_and(q, f32x4_le(q, p)), third]
        });
        let (value, pull, lambda) = match kind {
            ACCEPTANCE if third >= LEAST => (-third.ln(), 1.0 / third, 0.0),
            ACCEPTANCE => (-LEAST.ln(), 0.0, 0.0),
            HYBRID => {
                let lambda = (-ETA * (1.0 - refused)).exp();
                (lambda * third + (1.0 - lambda) * refused, 1.0 - lambda, lambda)
            }
            TOTAL_VARIATION | _ => (refused, 1.0, 0.0),
        };
        let (pull, lambda) = (f32x4_splat(pull as f32 * weight), f32x4_splat(lambda as f32 * weight));
        let (below, one) = (f32x4_splat(below as f32), f32x4_splat(1.0));
        row.each(dx, |[_, _, q, p]| {
            let side = f32x4_sub(below, v128_and(one, f32x4_le(q, p)));
            fma(lambda, f32x4_sub(q, p), f32x4_mul(f32x4_mul(pull, q), side))
        });
        value
    }
}
