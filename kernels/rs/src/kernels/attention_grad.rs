//! Gradients of attention, from its output and the logarithms of its normalisers.

use crate::kernels::attention::{BLOCK, Sizes, accumulate, dot, exponentials, scores_of, take, zero};
use crate::kernels::matmul::Small;
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// Gradients of attention; items are shares of each key head: share c of C does tiles c, c + C, … and sums dk and dv of the
/// ranged keys apart from other shares.
///
/// Arguments: q, k, v, ranges, out, lse, dout, dq, dk, dv, sizes (8), working memory, its f32 a thread
/// (`rows · (3 · dim + 2 · 64 + 2) + 64 · dim`), C, sums of dk `[C, ranged keys, kv heads · dim]` (dk itself if C = 1), sums of dv.
pub unsafe fn backward(args: Args, begin: usize, end: usize, thread: usize) {
    let (q, k, v) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (ranges, out, lse, dout) =
        (args.input::<i32>(3), args.input::<f32>(4), args.input::<f32>(5), args.input::<f32>(6));
    let (dq, dk, dv) = (args.output::<f32>(7), args.output::<f32>(8), args.output::<f32>(9));
    let s = Sizes::read(args, 10);
    let (dim, stride, group) = (s.dim, s.kv_stride(), s.group());
    let shares = args.size(20);
    unsafe {
        let work = args.output::<f32>(18).add(thread * args.size(19));
        let most = s.tile * group;
        let (rows_q, rows_d, rows_dq) = (work, work.add(most * dim), work.add(2 * most * dim));
        let weights = work.add(3 * most * dim);
        let slopes = weights.add(most * BLOCK);
        let turned = slopes.add(most * BLOCK);
        let (deltas, norms) = (turned.add(dim * BLOCK), turned.add(dim * BLOCK + most));
        for item in begin..end {
            let (head, share) = (item % s.kv_heads, item / s.kv_heads);
            let apart = share * s.ranged() * stride;
            let sum_k = args.output::<f32>(21).add(apart);
            let sum_v = args.output::<f32>(22).add(apart);
            for j in 0..s.ranged() {
                zero(sum_k.add(j * stride + head * dim), dim);
                zero(sum_v.add(j * stride + head * dim), dim);
            }
            let mut tile = share;
            while tile < s.tiles() {
                let first = tile * s.tile;
                tile += shares;
                let count = s.tile.min(s.queries - first);
                let rows = group * count;
                take(&s, q, rows_q, head, first, count, s.scale);
                take(&s, dout, rows_d, head, first, count, 1.0);
                zero(rows_dq, rows * dim);
                for r in 0..rows {
                    let (t, h) = (first + r % count, head * group + r / count);
                    *deltas.add(r) = dot(rows_d.add(r * dim), out.add(t * s.q_stride() + h * dim), dim);
                    *norms.add(r) = *lse.add(t * s.heads + h);
                }
                let (low, high) = s.union(ranges, first, first + count);
                let mut j = low;
                while j < high {
                    let n = BLOCK.min(high - j);
                    let at = j * stride + head * dim;
                    scores_of((rows_q, rows), (k.add(at), stride, n), dim, turned, weights);
                    scores_of((rows_d, rows), (v.add(at), stride, n), dim, turned, slopes);
                    for r in 0..rows {
                        let (a, b) = s.range(ranges, first + r % count);
                        let (p, ds) = (weights.add(r * BLOCK), slopes.add(r * BLOCK));
                        let (a, b) = (a.max(j), b.min(j + n));
                        let (a, b) = if a < b { (a - j, b - j) } else { (0, 0) };
                        slope(p.add(a), ds.add(a), b - a, *norms.add(r), *deltas.add(r));
                        for row in [p, ds] {
                            zero(row, a);
                            zero(row.add(b), n - b);
                        }
                    }
                    // dv += pᵀ · dout, dk += dsᵀ · q, dq += ds · k
                    let across =
                        Small { m: n, n: dim, k: rows, a_row: 1, a_k: BLOCK, b_row: dim, c_row: stride, add: true };
                    across.run(weights, rows_d, sum_v.add(at));
                    across.run(slopes, rows_q, sum_k.add(at));
                    let along =
                        Small { m: rows, n: dim, k: n, a_row: BLOCK, a_k: 1, b_row: stride, c_row: dim, add: true };
                    along.run(slopes, k.add(at), rows_dq);
                    j += n;
                }
                for block in 1..=s.diagonals {
                    for t in 0..count {
                        let at = s.diagonal(block, first + t) * stride + head * dim;
                        zero(dk.add(at), dim);
                        zero(dv.add(at), dim);
                        for r in (t..rows).step_by(count) {
                            let (row_q, row_d) = (rows_q.add(r * dim), rows_d.add(r * dim));
                            let mut p = dot(row_q, k.add(at), dim);
                            let mut ds = dot(row_d, v.add(at), dim);
                            slope(&mut p, &mut ds, 1, *norms.add(r), *deltas.add(r));
                            accumulate(dv.add(at), row_d, p, dim);
                            accumulate(dk.add(at), row_q, ds, dim);
                            accumulate(rows_dq.add(r * dim), k.add(at), ds, dim);
                        }
                    }
                }
                for r in 0..rows {
                    let (t, h) = (first + r % count, head * group + r / count);
                    let target = dq.add(t * s.q_stride() + h * dim);
                    for i in 0..dim {
                        *target.add(i) = *rows_dq.add(r * dim + i) * s.scale;
                    }
                }
            }
        }
    }
}

/// From scores and `dout · v`: the softmax's weights, and the gradient by the scores.
#[inline(always)]
unsafe fn slope(p: *mut f32, ds: *mut f32, n: usize, norm: f32, delta: f32) {
    unsafe {
        exponentials(p, n, norm);
        let d = f32x4_splat(delta);
        let mut i = 0;
        while i + 4 <= n {
            store(ds.add(i), f32x4_mul(load(p.add(i)), f32x4_sub(load(ds.add(i)), d)));
            i += 4;
        }
        while i < n {
            *ds.add(i) = *p.add(i) * (*ds.add(i) - delta);
            i += 1;
        }
    }
}

/// Adds the shares up; items are entries. Arguments: shares `[C, N]`, out `[N]`, C, N.
pub unsafe fn merge(args: Args, begin: usize, end: usize, _thread: usize) {
    let (parts, out, count, n) = (args.input::<f32>(0), args.output::<f32>(1), args.size(2), args.size(3));
    unsafe {
        core::ptr::copy_nonoverlapping(parts.add(begin), out.add(begin), end - begin);
        for part in 1..count {
            accumulate(out.add(begin), parts.add(part * n + begin), 1.0, end - begin);
        }
    }
}
