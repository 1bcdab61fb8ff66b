//! Attention over keys and values that lie in pages, and the moves of their rows.

use crate::by_dtype;
use crate::dtype::{Bf16, Element, to_bf16};
use crate::kernels::attention::{BLOCK, NOTHING, Sizes, scores_of, soften, take, zero};
use crate::kernels::dots::all_dots;
use crate::kernels::matmul::Small;
use crate::pool::Args;
use crate::simd::*;

/// What a row sees: keys `low … high − 1`, and of the keys from `high` on those whose bit is set.
#[derive(Clone, Copy)]
struct Sight {
    low: usize,
    high: usize,
    branch: u64,
}

impl Sight {
    unsafe fn read(rows: *const i32, t: usize) -> Sight {
        let word = |i: usize| unsafe { *rows.add(4 * t + i) };
        let (low, high) = (word(0).max(0) as usize, word(1).max(0) as usize);
        Sight { low, high, branch: word(2) as u32 as u64 | (word(3) as u32 as u64) << 32 }
    }
    /// One past the last key that is looked for in whole blocks: the block in which branches begin is each row's own.
    fn shared(self) -> usize {
        if self.branch == 0 { self.high } else { self.high / BLOCK * BLOCK }
    }
}

/// Where the rows of one sequence lie.
struct Pages {
    table: *const i32,
    /// Entries of the table.
    count: usize,
    /// Pages there are.
    limit: usize,
}

impl Pages {
    /// The row that holds key `j`, if there is one.
    unsafe fn row(&self, j: usize) -> Option<usize> {
        if j / BLOCK >= self.count {
            return None;
        }
        let page = unsafe { *self.table.add(j / BLOCK) } as u32 as usize;
        if page < self.limit { Some(page * BLOCK + j % BLOCK) } else { None }
    }
}

/// `n` rows of `dim` entries as f32: where they lie if they are that, copied to `own` otherwise. With their stride.
#[inline(always)]
unsafe fn widened<T: Element>(from: *const T, stride: usize, n: usize, dim: usize, own: *mut f32) -> (*const f32, usize) {
    if size_of::<T>() == 4 {
        return (from as *const f32, stride);
    }
    for i in 0..n {
        unsafe { widen(from.add(i * stride), own.add(i * dim), dim) };
    }
    (own, dim)
}

#[inline(always)]
unsafe fn widen<T: Element>(from: *const T, to: *mut f32, n: usize) {
    unsafe {
        let mut i = 0;
        while i + 4 <= n {
            store(to.add(i), T::load4(from.add(i)));
            i += 4;
        }
        while i < n {
            *to.add(i) = T::load1(from.add(i));
            i += 1;
        }
    }
}

/// Attention; items are tiles of each key head. A tile is neighbouring queries of one sequence.
///
/// Blocks of keys begin at multiples of 64 whatever a tile sees, and a row on a branch is worked as if the keys of its
/// branch lay right behind the others: its result is that of the same row decoded alone, bit for bit.
///
/// Arguments: q, k, v, rows `[T, 4]` (low, high, branch in two words), pages, tiles `[n, 4]` (first row, rows, begin of its
/// pages, whether they are many), out, lse, entries of pages, pages there are, heads, key heads, dim, scale, dtype of k and
/// v, rows of the largest tile, working memory, its f32 a thread: `most · (2 · dim + 64 + 2) + 3 · 64 · dim`, most = rows of
/// the largest tile · heads / key heads.
pub unsafe fn forward(args: Args, begin: usize, end: usize, thread: usize) {
    unsafe { by_dtype!(args.size(14), forward_of(args, begin, end, thread)) }
}

unsafe fn forward_of<T: Element>(args: Args, begin: usize, end: usize, thread: usize) {
    let (q, k, v) = (args.input::<f32>(0), args.input::<T>(1), args.input::<T>(2));
    let (sights, pages, tiles) = (args.input::<i32>(3), args.input::<i32>(4), args.input::<i32>(5));
    let (out, lse) = (args.output::<f32>(6), args.output::<f32>(7));
    let (entries, limit) = (args.size(8), args.size(9));
    let s = Sizes {
        queries: 0,
        keys: 0,
        heads: args.size(10),
        kv_heads: args.size(11),
        dim: args.size(12),
        scale: args.scalar(13),
        diagonals: 0,
        tile: args.size(15),
    };
    let (dim, stride, group) = (s.dim, s.kv_stride(), s.group());
    unsafe {
        let work = args.output::<f32>(16).add(thread * args.size(17));
        let most = s.tile * group;
        let (rows_q, rows_o) = (work, work.add(most * dim));
        let scores = work.add(2 * most * dim);
        let (maxima, totals) = (scores.add(most * BLOCK), scores.add(most * BLOCK + most));
        let turned = totals.add(most);
        let (own_k, own_v) = (turned.add(BLOCK * dim), turned.add(2 * BLOCK * dim));
        for item in begin..end {
            let (head, tile) = (item % s.kv_heads, item / s.kv_heads);
            let word = |i: usize| *tiles.add(4 * tile + i) as usize;
            let (first, count, from, many) = (word(0), word(1), word(2), word(3) != 0);
            let table = Pages { table: pages.add(from.min(entries)), count: entries.saturating_sub(from), limit };
            let rows = group * count;
            take(&s, q, rows_q, head, first, count, s.scale);
            zero(rows_o, rows * dim);
            for r in 0..rows {
                *maxima.add(r) = NOTHING;
                *totals.add(r) = 0.0;
            }
            let (mut low, mut high) = (usize::MAX, 0);
            for t in first..first + count {
                let sight = Sight::read(sights, t);
                if sight.low < sight.shared() {
                    (low, high) = (low.min(sight.low), high.max(sight.shared()));
                }
            }
            let mut j = low / BLOCK * BLOCK;
            while j < high {
                let n = BLOCK.min(high - j);
                if let Some(row) = table.row(j) {
                    let at = row * stride + head * dim;
                    let (keys, keys_stride) = widened(k.add(at), stride, n, dim, own_k);
                    let (values, values_stride) = widened(v.add(at), stride, n, dim, own_v);
                    if many {
                        scores_of((rows_q, rows), (keys, keys_stride, n), dim, turned, scores);
                    } else {
                        all_dots((rows, n, dim), (rows_q, dim), (keys, keys_stride), (scores, BLOCK), false);
                    }
                    for r in 0..rows {
                        let sight = Sight::read(sights, first + r % count);
                        let row = scores.add(r * BLOCK);
                        let (a, b) = (sight.low.max(j), sight.shared().min(j + n));
                        if a >= b {
                            zero(row, n);
                            continue;
                        }
                        let (a, b) = (a - j, b - j);
                        soften(row.add(a), b - a, maxima.add(r), totals.add(r), rows_o.add(r * dim), dim);
                        zero(row, a);
                        zero(row.add(b), n - b);
                    }
                    Small { m: rows, n: dim, k: n, a_row: BLOCK, a_k: 1, b_row: values_stride, c_row: dim, add: true }
                        .run(scores, values, rows_o);
                }
                j += BLOCK;
            }
            for r in 0..rows {
                let t = first + r % count;
                let sight = Sight::read(sights, t);
                let o = rows_o.add(r * dim);
                if sight.branch != 0 {
                    let mut rest = sight.branch;
                    let end = sight.high + rest.count_ones() as usize;
                    let mut j = sight.shared();
                    while j < end {
                        let n = BLOCK.min(end - j);
                        let mut kept = 0;
                        for i in j..j + n {
                            let mut at = i;
                            if i >= sight.high {
                                at = sight.high + rest.trailing_zeros() as usize;
                                rest &= rest - 1;
                            }
                            if i < sight.low {
                                continue;
                            }
                            if let Some(row) = table.row(at) {
                                let at = row * stride + head * dim;
                                widen(k.add(at), own_k.add(kept * dim), dim);
                                widen(v.add(at), own_v.add(kept * dim), dim);
                                kept += 1;
                            }
                        }
                        if kept > 0 {
                            let row = scores.add(r * BLOCK);
                            all_dots((1, kept, dim), (rows_q.add(r * dim), dim), (own_k, dim), (row, BLOCK), false);
                            soften(row, kept, maxima.add(r), totals.add(r), o, dim);
                            Small { m: 1, n: dim, k: kept, a_row: BLOCK, a_k: 1, b_row: dim, c_row: dim, add: true }
                                .run(row, own_v, o);
                        }
                        j += n;
                    }
                }
                let h = head * group + r / count;
                let total = *totals.add(r);
                let factor = if total > 0.0 { 1.0 / total } else { 0.0 };
                let target = out.add(t * s.q_stride() + h * dim);
                for i in 0..dim {
                    *target.add(i) = *o.add(i) * factor;
                }
                *lse.add(t * s.heads + h) = if total > 0.0 { *maxima.add(r) + total.ln() } else { NOTHING };
            }
        }
    }
}

/// Writes rows of keys and values to places in their pools; items are rows.
///
/// Arguments: k, v, pool of k, pool of v, places, width, rows of the pools, dtype of the pools (f32 or bf16).
pub unsafe fn write(args: Args, begin: usize, end: usize, _thread: usize) {
    let (places, width, limit) = (args.input::<i32>(4), args.size(5), args.size(6));
    for t in begin..end {
        unsafe {
            let at = *places.add(t) as u32 as usize;
            if at >= limit {
                continue;
            }
            for i in 0..2 {
                let from = args.input::<f32>(i).add(t * width);
                if args.size(7) == 0 {
                    core::ptr::copy_nonoverlapping(from, args.output::<f32>(2 + i).add(at * width), width);
                } else {
                    let to = args.output::<Bf16>(2 + i).add(at * width);
                    for j in 0..width {
                        *to.add(j) = Bf16(to_bf16(*from.add(j)));
                    }
                }
            }
        }
    }
}

/// Moves rows within both pools, one after the other; a single item.
///
/// Arguments: pool of k, pool of v, places `[2, n]` (from, to), n, bytes of a row, rows of the pools.
pub unsafe fn keep(args: Args, begin: usize, end: usize, _thread: usize) {
    let (places, n, bytes, limit) = (args.input::<i32>(2), args.size(3), args.size(4), args.size(5));
    if begin >= end {
        return;
    }
    for pool in 0..2 {
        for i in 0..n {
            unsafe {
                let (from, to) = (*places.add(i) as u32 as usize, *places.add(n + i) as u32 as usize);
                if from < limit && to < limit {
                    let base = args.output::<u8>(pool);
                    core::ptr::copy(base.add(from * bytes), base.add(to * bytes), bytes);
                }
            }
        }
    }
}

/// The K largest entries of each row, the lower place first of equals, as logarithms of their softmax; items are rows.
///
/// Arguments: x, out f32 `[T, K]`, places i32 `[T, K]`, N, K.
pub unsafe fn top_k(args: Args, begin: usize, end: usize, _thread: usize) {
    let (n, count) = (args.size(3), args.size(4));
    for t in begin..end {
        unsafe {
            let x = args.input::<f32>(0).add(t * n);
            let (out, places) = (args.output::<f32>(1).add(t * count), args.output::<i32>(2).add(t * count));
            let mut kept = 0;
            for i in 0..n {
                let value = *x.add(i);
                if kept == count && !(value > *out.add(count - 1)) {
                    continue;
                }
                let mut at = if kept < count { kept } else { count - 1 };
                while at > 0 && value > *out.add(at - 1) {
                    *out.add(at) = *out.add(at - 1);
                    *places.add(at) = *places.add(at - 1);
                    at -= 1;
                }
                *out.add(at) = value;
                *places.add(at) = i as i32;
                if kept < count {
                    kept += 1;
                }
            }
            let most = *out;
            let mut total = 0f64;
            let mut i = 0;
            while i < n {
                // By blocks: a sum in f32 over a whole vocabulary would lose what lies far behind.
                let stop = n.min(i + 1024);
                let mut acc = ZERO;
                while i + 4 <= stop {
                    acc = core::arch::wasm32::f32x4_add(
                        acc,
                        exp(core::arch::wasm32::f32x4_sub(load(x.add(i)), core::arch::wasm32::f32x4_splat(most))),
                    );
                    i += 4;
                }
                total += sum(acc) as f64;
                while i < stop {
                    total += exp1(*x.add(i) - most) as f64;
                    i += 1;
                }
            }
            let shift = total.ln() as f32;
            for i in 0..count {
                *out.add(i) = *out.add(i) - most - shift;
            }
        }
    }
}
