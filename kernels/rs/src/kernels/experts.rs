//! Mixtures of experts: which experts a row goes to, products with the weights of those only, and their sum.

use crate::dtype::{Bf16, Element, F16};
use crate::kernels::dots::all_dots;
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// Rows of a tile of the plan: the same number stands in the op's `mod.ts`.
const TILE: usize = 16;

/// The largest logits of each row, and their shares; items are rows.
///
/// Arguments: logits, experts, weights, E, count, whether the softmax is over all E.
pub unsafe fn route(args: Args, begin: usize, end: usize, _thread: usize) {
    let (logits, experts, weights) = (args.input::<f32>(0), args.output::<i32>(1), args.output::<f32>(2));
    let (e, count, all) = (args.size(3), args.size(4), args.flag(5));
    for row in begin..end {
        unsafe {
            let (x, chosen, share) = (logits.add(row * e), experts.add(row * count), weights.add(row * count));
            let (mut last, mut place) = (f32::INFINITY, usize::MAX);
            for k in 0..count {
                let (mut best, mut at) = (f32::NEG_INFINITY, usize::MAX);
                for i in 0..e {
                    let v = *x.add(i);
                    let left = v < last || (v == last && (place == usize::MAX || i > place));
                    if left && (at == usize::MAX || v > best) {
                        (best, at) = (v, i);
                    }
                }
                if at == usize::MAX {
                    (best, at) = (f32::NAN, k); // what is no number has no order
                }
                (last, place) = (best, at);
                *chosen.add(k) = at as i32;
                *share.add(k) = best;
            }
            let most = *share;
            let mut total = 0f64;
            for i in 0..if all { e } else { count } {
                total += exp1(if all { *x.add(i) } else { *share.add(i) } - most) as f64;
            }
            for k in 0..count {
                *share.add(k) = (exp1(*share.add(k) - most) as f64 / total) as f32;
            }
        }
    }
}

/// Rows in the order of their experts, and tiles of at most [`TILE`] of one expert each; one item.
///
/// Arguments: experts, plan, rows, E, tiles, zeroed counts `[E + 1]`.
pub unsafe fn plan(args: Args, _begin: usize, _end: usize, _thread: usize) {
    let (experts, plan, starts) = (args.input::<i32>(0), args.output::<i32>(1), args.output::<u32>(5));
    let (rows, e, most) = (args.size(2), args.size(3), args.size(4));
    unsafe {
        let expert = |row: usize| {
            let id = *experts.add(row);
            if id >= 0 && (id as usize) < e { Some(id as usize) } else { None }
        };
        for row in 0..rows {
            *plan.add(row) = 0;
            if let Some(id) = expert(row) {
                *starts.add(id + 1) += 1;
            }
        }
        let (tiles, mut used) = (plan.add(rows), 0);
        for id in 0..e {
            let (first, count) = (*starts.add(id) as usize, *starts.add(id + 1) as usize);
            for from in (0..count).step_by(TILE) {
                let tile = tiles.add(3 * used);
                *tile = id as i32;
                *tile.add(1) = (first + from) as i32;
                *tile.add(2) = TILE.min(count - from) as i32;
                used += 1;
            }
            *starts.add(id + 1) += first as u32;
        }
        core::slice::from_raw_parts_mut(tiles.add(3 * used), 3 * (most - used)).fill(0);
        for row in 0..rows {
            if let Some(id) = expert(row) {
                *plan.add(*starts.add(id) as usize) = row as i32;
                *starts.add(id) += 1;
            }
        }
    }
}

/// A product of [`linear`]: addresses and sizes.
struct Work {
    weight: usize,
    scales: *const u8,
    depth: usize,
    n: usize,
    /// Columns worked at once.
    chunk: usize,
    /// Rows of the tile, `[TILE, depth]`.
    rows: *mut f32,
    /// Columns widened to f32, `[chunk, depth]`.
    wide: *mut f32,
    /// Products, `[TILE, chunk]`.
    found: *mut f32,
}

impl Work {
    /// Weights that lie as rows.
    unsafe fn direct<T: Element>(&self, expert: usize, first: usize, (m, w): (usize, usize)) {
        unsafe {
            let b = (self.weight as *const T).add((expert * self.n + first) * self.depth);
            let (rows, found) = ((self.rows as *const f32, self.depth), (self.found, self.chunk));
            all_dots((m, w, self.depth), rows, (b, self.depth), found, false);
        }
    }

    unsafe fn widened(&self, (m, w): (usize, usize)) {
        unsafe {
            let (rows, wide) = ((self.rows as *const f32, self.depth), (self.wide as *const f32, self.depth));
            all_dots((m, w, self.depth), rows, wide, (self.found, self.chunk), false);
        }
    }

    /// Weights whose columns lie across: `[E, depth, n]`.
    unsafe fn across<T: Element>(&self, expert: usize, first: usize, sizes: (usize, usize)) {
        unsafe {
            let b = (self.weight as *const T).add(expert * self.depth * self.n + first);
            for k in 0..self.depth {
                for j in 0..sizes.1 {
                    *self.wide.add(j * self.depth + k) = T::load1(b.add(k * self.n + j));
                }
            }
            self.widened(sizes);
        }
    }

    /// Weights in MXFP4.
    unsafe fn mxfp4(&self, expert: usize, first: usize, sizes: (usize, usize)) {
        unsafe {
            let blocks = self.depth / 32;
            let mut j = 0;
            while sizes.0 == 1 && j + 4 <= sizes.1 {
                self.mxfp4_row((expert * self.n + first + j) * blocks, self.found.add(j));
                j += 4;
            }
            if j == sizes.1 {
                return;
            }
            for j in 0..sizes.1 {
                let at = (expert * self.n + first + j) * blocks;
                for block in 0..blocks {
                    let from = (self.weight as *const u8).add((at + block) * 16);
                    let to = self.wide.add(j * self.depth + 32 * block);
                    for (i, four) in mxfp4_block(from, *self.scales.add(at + block)).into_iter().enumerate() {
                        store(to.add(4 * i), four);
                    }
                }
            }
            self.widened(sizes);
        }
    }

    /// Products of one row with four columns in MXFP4, whose entries stay in registers; summed in the order of [`all_dots`].
    #[inline(always)]
    unsafe fn mxfp4_row(&self, at: usize, found: *mut f32) {
        unsafe {
            let blocks = self.depth / 32;
            let mut acc = [ZERO; 4];
            for block in 0..blocks {
                let x = self.rows.add(32 * block);
                for (column, acc) in acc.iter_mut().enumerate() {
                    let at = at + column * blocks + block;
                    let fours = mxfp4_block((self.weight as *const u8).add(at * 16), *self.scales.add(at));
                    for (i, four) in fours.into_iter().enumerate() {
                        *acc = fma(load(x.add(4 * i)), four, *acc);
                    }
                }
            }
            for (column, acc) in acc.into_iter().enumerate() {
                *found.add(column) = sum(acc);
            }
        }
    }
}

/// Widens 32 entries: a sign, two bits of exponent and one of mantissa each (OCP Microscaling 1.0, E2M1), a common power of
/// two (E8M0). Entry 2j is the lower half of byte j.
#[inline(always)]
unsafe fn mxfp4_block(from: *const u8, scale: u8) -> [v128; 8] {
    // Twice the values, which are whole.
    let table = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    let scale = scale as u32;
    let half = f32x4_splat(f32::from_bits(if scale > 1 { (scale - 1) << 23 } else { 0x20_0000 << scale }));
    let bytes = unsafe { v128_load(from as *const v128) };
    let low = i8x16_swizzle(table, v128_and(bytes, u8x16_splat(15)));
    let high = i8x16_swizzle(table, u8x16_shr(bytes, 4));
    let sixteens = [
        i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(low, high),
        i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(low, high),
    ];
    let [a, b] = sixteens;
    let eights = [
        i16x8_extend_low_i8x16(a),
        i16x8_extend_high_i8x16(a),
        i16x8_extend_low_i8x16(b),
        i16x8_extend_high_i8x16(b),
    ];
    let low = eights.map(|v| f32x4_mul(f32x4_convert_i32x4(i32x4_extend_low_i16x8(v)), half));
    let high = eights.map(|v| f32x4_mul(f32x4_convert_i32x4(i32x4_extend_high_i16x8(v)), half));
    [low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3]]
}

/// Copies rows; their eights in the order that weights of type T want them.
unsafe fn take<T: Element>(from: *const f32, to: *mut f32, depth: usize) {
    unsafe {
        let mut k = 0;
        while k + 8 <= depth {
            T::arrange8(from.add(k), to.add(k));
            k += 8;
        }
        for k in k..depth {
            *to.add(k) = *from.add(k);
        }
    }
}

/// Products of rows with the weights of their experts; items are the columns of each tile.
///
/// Arguments: x, plan, weight, out; depth, columns, kind (a dtype's code, 3 MXFP4), columns lie across, scales, bias (0: none),
/// output rows for each row of x, output rows, columns worked at once, working memory of each thread and its floats.
pub unsafe fn linear(args: Args, begin: usize, end: usize, thread: usize) {
    let (x, plan, out) = (args.input::<f32>(0), args.input::<i32>(1), args.output::<f32>(3));
    let (depth, n, kind, across) = (args.size(4), args.size(5), args.size(6), args.flag(7));
    let (bias, repeat, rows, chunk) = (args.input::<f32>(9), args.size(10), args.size(11), args.size(12));
    unsafe {
        let own = args.output::<f32>(13).add(thread * args.size(14));
        let work = Work {
            weight: args.size(2),
            scales: args.input::<u8>(8),
            depth,
            n,
            chunk,
            rows: own,
            wide: own.add(TILE * depth),
            found: own.add((TILE + chunk) * depth),
        };
        let mut item = begin;
        while item < end {
            let (tile, from) = (item / n, item % n);
            let to = n.min(from + end - item);
            let tile = plan.add(rows + 3 * tile);
            let (expert, first, m) = (*tile as usize, *tile.add(1) as usize, *tile.add(2) as usize);
            let slot = |i: usize| *plan.add(first + i) as usize;
            for i in 0..m {
                let (from, to) = (x.add(slot(i) / repeat * depth), work.rows.add(i * depth));
                match (kind, across) {
                    (1, false) => take::<Bf16>(from, to, depth),
                    (2, false) => take::<F16>(from, to, depth),
                    _ => core::ptr::copy_nonoverlapping(from, to, depth),
                }
            }
            let mut j = from;
            while j < to {
                let w = chunk.min(to - j);
                match (kind, across) {
                    (0, false) => work.direct::<f32>(expert, j, (m, w)),
                    (1, false) => work.direct::<Bf16>(expert, j, (m, w)),
                    (2, false) => work.direct::<F16>(expert, j, (m, w)),
                    (0, true) => work.across::<f32>(expert, j, (m, w)),
                    (1, true) => work.across::<Bf16>(expert, j, (m, w)),
                    (2, true) => work.across::<F16>(expert, j, (m, w)),
                    _ => work.mxfp4(expert, j, (m, w)),
                }
                for i in 0..m {
                    for c in 0..w {
                        let added = if bias.is_null() { 0.0 } else { *bias.add(expert * n + j + c) };
                        *out.add(slot(i) * n + j + c) = *work.found.add(i * chunk + c) + added;
                    }
                }
                j += w;
            }
            item += to - from;
        }
    }
}

/// `rows[t] + Σ weights[t][k] · y[t · count + k]`; items are rows. Arguments: rows, y, weights, out, width, count.
pub unsafe fn mix(args: Args, begin: usize, end: usize, _thread: usize) {
    let (rows, y, weights) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (out, n, count) = (args.output::<f32>(3), args.size(4), args.size(5));
    for row in begin..end {
        unsafe {
            let (rows, y, out) = (rows.add(row * n), y.add(row * count * n), out.add(row * n));
            let weights = weights.add(row * count);
            let mut i = 0;
            while i + 4 <= n {
                let mut total = ZERO;
                for k in 0..count {
                    total = fma(splat(weights.add(k)), load(y.add(k * n + i)), total);
                }
                store(out.add(i), f32x4_add(load(rows.add(i)), total));
                i += 4;
            }
            for i in i..n {
                let mut total = 0.0;
                for k in 0..count {
                    total += *weights.add(k) * *y.add(k * n + i);
                }
                *out.add(i) = *rows.add(i) + total;
            }
        }
    }
}

/// The clamped gate of interleaved halves: `(up + 1) · gate · σ(alpha · gate)`, entries 2i the gates. Items are entries.
///
/// Arguments: x, out, alpha, limit.
pub unsafe fn clamped_swiglu(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, out) = (args.input::<f32>(0), args.output::<f32>(1));
    let (alpha, limit) = (args.scalar(2), args.scalar(3));
    for i in begin..end {
        unsafe {
            // Comparisons, so that what is no number stays so.
            let (mut gate, mut up) = (*x.add(2 * i), *x.add(2 * i + 1));
            if gate > limit {
                gate = limit;
            }
            if up > limit {
                up = limit;
            } else if up < -limit {
                up = -limit;
            }
            *out.add(i) = (up + 1.0) * (gate / (1.0 + exp1(-alpha * gate)));
        }
    }
}

/// `x · σ(lse − sink)` for each head of each row; items are rows. Arguments: x, lse, sinks, out, heads, headDim.
pub unsafe fn sinks(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, lse, sinks, out) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2), args.output::<f32>(3));
    let (heads, dim) = (args.size(4), args.size(5));
    for run in begin * heads..end * heads {
        unsafe {
            let factor = 1.0 / (1.0 + exp1(*sinks.add(run % heads) - *lse.add(run)));
            for i in run * dim..(run + 1) * dim {
                *out.add(i) = *x.add(i) * factor;
            }
        }
    }
}
