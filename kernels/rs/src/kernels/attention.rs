//! Attention in blocks with a running softmax (arXiv 2205.14135).
//!
//! A tile is some neighbouring queries, those of all heads that read one key head: rows `g · queries + t`.

use crate::kernels::dots::all_dots;
use crate::kernels::matmul::Small;
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// Keys worked at once.
pub const BLOCK: usize = 64;
/// Rows from which on turning a block of keys pays: products by columns then need no sums across lanes.
const MANY: usize = 12;
/// Queries up to which it is never done, so that a query's scores do not depend on the queries beside it: a model's answer
/// to a token is the same, bit for bit, whether it is asked for alone or with a proposal's tokens.
const FEW: usize = 8;
/// What a query that has seen nothing has as its largest score.
pub const NOTHING: f32 = -1e30;

/// Sizes that forward and backward share.
pub struct Sizes {
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
    pub scale: f32,
    pub diagonals: usize,
    /// Queries of a tile.
    pub tile: usize,
}

impl Sizes {
    /// Read from eight arguments, from `at` on.
    pub fn read(args: Args, at: usize) -> Sizes {
        Sizes {
            queries: args.size(at),
            keys: args.size(at + 1),
            heads: args.size(at + 2),
            kv_heads: args.size(at + 3),
            dim: args.size(at + 4),
            scale: args.scalar(at + 5),
            diagonals: args.size(at + 6),
            tile: args.size(at + 7),
        }
    }
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
    /// Keys that ranges speak of: those before the diagonals' blocks.
    pub fn ranged(&self) -> usize {
        self.keys - self.diagonals * self.queries
    }
    /// The key that query `t` sees of a block from 1 on.
    pub fn diagonal(&self, block: usize, t: usize) -> usize {
        self.ranged() + (block - 1) * self.queries + t
    }
    pub fn q_stride(&self) -> usize {
        self.heads * self.dim
    }
    pub fn kv_stride(&self) -> usize {
        self.kv_heads * self.dim
    }
    pub fn tiles(&self) -> usize {
        self.queries.div_ceil(self.tile)
    }
    /// The keys query `t` sees.
    pub unsafe fn range(&self, ranges: *const i32, t: usize) -> (usize, usize) {
        let limit = self.ranged() as i32;
        let (low, high) = unsafe { (*ranges.add(2 * t), *ranges.add(2 * t + 1)) };
        let (low, high) = (low.clamp(0, limit) as usize, high.clamp(0, limit) as usize);
        if low < high { (low, high) } else { (0, 0) }
    }
    /// The smallest run of keys that holds the ranges of all queries from `first` to `last − 1`.
    pub unsafe fn union(&self, ranges: *const i32, first: usize, last: usize) -> (usize, usize) {
        let (mut low, mut high) = (usize::MAX, 0);
        for t in first..last {
            let (a, b) = unsafe { self.range(ranges, t) };
            if a < b {
                (low, high) = (low.min(a), high.max(b));
            }
        }
        if low < high { (low, high) } else { (0, 0) }
    }
}

/// Copies rows of a tile out of a `[T, heads · dim]` matrix, times a factor.
pub unsafe fn take(s: &Sizes, from: *const f32, to: *mut f32, head: usize, first: usize, count: usize, factor: f32) {
    for g in 0..s.group() {
        for t in 0..count {
            unsafe {
                let source = from.add((first + t) * s.q_stride() + (head * s.group() + g) * s.dim);
                let target = to.add((g * count + t) * s.dim);
                for i in 0..s.dim {
                    *target.add(i) = *source.add(i) * factor;
                }
            }
        }
    }
}

/// Scores of rows with `n` keys: `out[r][j] = rows[r] · keys[j]`; entries of `out` past n are not defined. `turned` holds
/// `dim × 64` entries.
pub unsafe fn scores_of(
    (rows, count): (*const f32, usize),
    (keys, stride, n): (*const f32, usize, usize),
    dim: usize,
    turned: *mut f32,
    out: *mut f32,
) {
    unsafe {
        if count < MANY {
            all_dots((count, n, dim), (rows, dim), (keys, stride), (out, BLOCK), false);
            return;
        }
        let mut j = 0;
        while j < n {
            let mut d = 0;
            if j + 4 <= n {
                let key = keys.add(j * stride);
                while d + 4 <= dim {
                    let columns = transpose([
                        load(key.add(d)),
                        load(key.add(stride + d)),
                        load(key.add(2 * stride + d)),
                        load(key.add(3 * stride + d)),
                    ]);
                    for (i, column) in columns.into_iter().enumerate() {
                        store(turned.add((d + i) * BLOCK + j), column);
                    }
                    d += 4;
                }
            }
            for d in d..dim {
                for i in j..n.min(j + 4) {
                    *turned.add(d * BLOCK + i) = *keys.add(i * stride + d);
                }
            }
            j += 4;
        }
        let n = n.next_multiple_of(8);
        Small { m: count, n, k: dim, a_row: dim, a_k: 1, b_row: BLOCK, c_row: BLOCK, add: false }
            .run(rows, turned, out);
    }
}

#[inline(always)]
pub unsafe fn dot(a: *const f32, b: *const f32, n: usize) -> f32 {
    unsafe {
        let mut acc = ZERO;
        let mut i = 0;
        while i + 4 <= n {
            acc = fma(load(a.add(i)), load(b.add(i)), acc);
            i += 4;
        }
        let mut total = sum(acc);
        while i < n {
            total += *a.add(i) * *b.add(i);
            i += 1;
        }
        total
    }
}

/// `y += x · factor`.
#[inline(always)]
pub unsafe fn accumulate(y: *mut f32, x: *const f32, factor: f32, n: usize) {
    unsafe {
        let f = f32x4_splat(factor);
        let mut i = 0;
        while i + 4 <= n {
            store(y.add(i), fma(load(x.add(i)), f, load(y.add(i))));
            i += 4;
        }
        while i < n {
            *y.add(i) += *x.add(i) * factor;
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn rescale(y: *mut f32, factor: f32, n: usize) {
    unsafe {
        let f = f32x4_splat(factor);
        let mut i = 0;
        while i + 4 <= n {
            store(y.add(i), f32x4_mul(load(y.add(i)), f));
            i += 4;
        }
        while i < n {
            *y.add(i) *= factor;
            i += 1;
        }
    }
}

/// Replaces scores by `e^(score − shift)` and gives their sum.
#[inline(always)]
pub unsafe fn exponentials(s: *mut f32, n: usize, shift: f32) -> f32 {
    unsafe {
        let m = f32x4_splat(shift);
        let mut acc = ZERO;
        let mut i = 0;
        while i + 8 <= n {
            let e = exps([f32x4_sub(load(s.add(i)), m), f32x4_sub(load(s.add(i + 4)), m)]);
            store(s.add(i), e[0]);
            store(s.add(i + 4), e[1]);
            acc = f32x4_add(f32x4_add(acc, e[0]), e[1]);
            i += 8;
        }
        while i + 4 <= n {
            let e = exp(f32x4_sub(load(s.add(i)), m));
            store(s.add(i), e);
            acc = f32x4_add(acc, e);
            i += 4;
        }
        let mut total = sum(acc);
        while i < n {
            *s.add(i) = exp1(*s.add(i) - shift);
            total += *s.add(i);
            i += 1;
        }
        total
    }
}

pub unsafe fn zero(p: *mut f32, n: usize) {
    unsafe { core::ptr::write_bytes(p, 0, n) }
}

/// Attention; items are tiles of each key head.
///
/// Arguments: q, k, v, ranges, out, lse, sizes (8), working memory, its f32 a thread:
/// `rows · (2 · dim + 64 + 2) + 64 · dim` with rows = queries of a tile · heads / key heads.
pub unsafe fn forward(args: Args, begin: usize, end: usize, thread: usize) {
    let (q, k, v) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (ranges, out, lse) = (args.input::<i32>(3), args.output::<f32>(4), args.output::<f32>(5));
    let s = Sizes::read(args, 6);
    let (dim, stride, group) = (s.dim, s.kv_stride(), s.group());
    unsafe {
        let work = args.output::<f32>(14).add(thread * args.size(15));
        let most = s.tile * group;
        let (rows_q, rows_o) = (work, work.add(most * dim));
        let scores = work.add(2 * most * dim);
        let turned = scores.add(most * BLOCK);
        let (maxima, totals) = (turned.add(dim * BLOCK), turned.add(dim * BLOCK + most));
        for item in begin..end {
            // Late tiles see most keys: they go first, so that threads end together.
            let (head, tile) = (item % s.kv_heads, s.tiles() - 1 - item / s.kv_heads);
            let first = tile * s.tile;
            let count = s.tile.min(s.queries - first);
            let rows = group * count;
            take(&s, q, rows_q, head, first, count, s.scale);
            zero(rows_o, rows * dim);
            for r in 0..rows {
                *maxima.add(r) = NOTHING;
                *totals.add(r) = 0.0;
            }
            let (low, high) = s.union(ranges, first, first + count);
            let mut j = low;
            while j < high {
                let n = BLOCK.min(high - j);
                let at = j * stride + head * dim;
                if s.queries <= FEW {
                    all_dots((rows, n, dim), (rows_q, dim), (k.add(at), stride), (scores, BLOCK), false);
                } else {
                    scores_of((rows_q, rows), (k.add(at), stride, n), dim, turned, scores);
                }
                for r in 0..rows {
                    let (a, b) = s.range(ranges, first + r % count);
                    let row = scores.add(r * BLOCK);
                    let (a, b) = (a.max(j), b.min(j + n));
                    if a >= b {
                        zero(row, n);
                        continue;
                    }
                    let (a, b) = (a - j, b - j);
                    soften(row.add(a), b - a, maxima.add(r), totals.add(r), rows_o.add(r * dim), dim);
                    zero(row, a);
                    zero(row.add(b), n - b);
                }
                let small = Small { m: rows, n: dim, k: n, a_row: BLOCK, a_k: 1, b_row: stride, c_row: dim, add: true };
                small.run(scores, v.add(at), rows_o);
                j += n;
            }
            for r in 0..rows {
                let t = first + r % count;
                let mut from = 1;
                while from <= s.diagonals {
                    let n = BLOCK.min(s.diagonals + 1 - from);
                    let row = scores.add(r * BLOCK);
                    for i in 0..n {
                        let at = s.diagonal(from + i, t) * stride + head * dim;
                        *row.add(i) = dot(rows_q.add(r * dim), k.add(at), dim);
                    }
                    soften(row, n, maxima.add(r), totals.add(r), rows_o.add(r * dim), dim);
                    for i in 0..n {
                        let at = s.diagonal(from + i, t) * stride + head * dim;
                        accumulate(rows_o.add(r * dim), v.add(at), *row.add(i), dim);
                    }
                    from += n;
                }
                let h = head * group + r / count;
                let total = *totals.add(r);
                let factor = if total > 0.0 { 1.0 / total } else { 0.0 };
                let target = out.add(t * s.q_stride() + h * dim);
                for i in 0..dim {
                    *target.add(i) = *rows_o.add(r * dim + i) * factor;
                }
                *lse.add(t * s.heads + h) = if total > 0.0 { *maxima.add(r) + total.ln() } else { NOTHING };
            }
        }
    }
}

/// Takes scores into a row's running softmax: they become weights by the new maximum, what was summed before is brought
/// down to it.
#[inline(always)]
pub unsafe fn soften(s: *mut f32, n: usize, maximum: *mut f32, total: *mut f32, sums: *mut f32, dim: usize) {
    unsafe {
        let old = *maximum;
        let new = max_of(s, n, old);
        if new > old {
            let factor = if *total > 0.0 { exp1(old - new) } else { 0.0 };
            *maximum = new;
            *total *= factor;
            rescale(sums, factor, dim);
        }
        *total += exponentials(s, n, new);
    }
}
