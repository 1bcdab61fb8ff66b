//! Matrix products of packed panels, and of a few rows with a weight.

use crate::blocks::{BLOCK, Blocks, all_block_dots, block_sums, widen_blocks};
use crate::{by_blocks, by_dtype};
use crate::dtype::Element;
use crate::kernels::dots::all_dots;
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// Inner entries worked at once: panels of this depth from both sides just fit the first-level cache.
const DEPTH: usize = 1024;

/// Packs rows (of `a`) or columns (of `b`) into panels `[K, W]`; items are panels, missing rows become zeros.
///
/// Arguments: source, target, rows, K, stride, whether K is contiguous, dtype, W (4 or 8).
pub unsafe fn pack(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe {
        if args.size(7) == 4 {
            by_dtype!(args.size(6), pack_panels4(args, begin, end));
        } else {
            by_dtype!(args.size(6), pack_panels8(args, begin, end));
        }
    }
}

unsafe fn pack_panels4<T: Element>(args: Args, begin: usize, end: usize) {
    unsafe { pack_panels::<T, 4>(args, begin, end) }
}

unsafe fn pack_panels8<T: Element>(args: Args, begin: usize, end: usize) {
    unsafe { pack_panels::<T, 8>(args, begin, end) }
}

unsafe fn pack_panels<T: Element, const W: usize>(args: Args, begin: usize, end: usize) {
    let (source, target) = (args.input::<T>(0), args.output::<f32>(1));
    let (rows, depth, stride) = (args.size(2), args.size(3), args.size(4));
    let contiguous = args.flag(5);
    for panel in begin..end {
        let first = panel * W;
        let here = W.min(rows - first);
        unsafe {
            let out = target.add(panel * depth * W);
            if contiguous {
                let from = source.add(first * stride);
                let mut k = 0;
                if here == W {
                    while k + 4 <= depth {
                        for half in 0..W / 4 {
                            let p = from.add(half * 4 * stride + k);
                            let columns = transpose([
                                T::load4(p),
                                T::load4(p.add(stride)),
                                T::load4(p.add(2 * stride)),
                                T::load4(p.add(3 * stride)),
                            ]);
                            for (i, column) in columns.into_iter().enumerate() {
                                store(out.add((k + i) * W + half * 4), column);
                            }
                        }
                        k += 4;
                    }
                }
                while k < depth {
                    for i in 0..W {
                        *out.add(k * W + i) = if i < here { T::load1(from.add(i * stride + k)) } else { 0.0 };
                    }
                    k += 1;
                }
            } else if here == W {
                for k in 0..depth {
                    for half in 0..W / 4 {
                        store(out.add(k * W + half * 4), T::load4(source.add(k * stride + first + half * 4)));
                    }
                }
            } else {
                for k in 0..depth {
                    for i in 0..W {
                        *out.add(k * W + i) = if i < here { T::load1(source.add(k * stride + first + i)) } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// 4 × 8 entries of `c` from a panel of each side. Eight sums, two vectors of `b` and one of `a` fit the registers.
#[inline(always)]
unsafe fn micro(a: *const f32, b: *const f32, depth: usize, c: *mut f32, stride: usize, add: bool) {
    unsafe {
        let mut acc = [[ZERO; 2]; 4];
        let (mut a, mut b) = (a, b);
        // One step a turn: in an unrolled loop the compiler loads for several steps first, and spills.
        for _ in 0..depth {
            let (b0, b1) = (load(b), load(b.add(4)));
            for (i, row) in acc.iter_mut().enumerate() {
                let x = splat(a.add(i));
                row[0] = fma(x, b0, row[0]);
                row[1] = fma(x, b1, row[1]);
            }
            (a, b) = (a.add(4), b.add(8));
        }
        for (i, row) in acc.iter().enumerate() {
            let out = c.add(i * stride);
            if add {
                store(out, f32x4_add(load(out), row[0]));
                store(out.add(4), f32x4_add(load(out.add(4)), row[1]));
            } else {
                store(out, row[0]);
                store(out.add(4), row[1]);
            }
        }
    }
}

/// A product of packed panels; items are tiles of `c`, those of one column after another.
///
/// Arguments: packed a, packed b, c, M, N, K, stride of c, whether to add to c, rows and columns of a tile.
pub unsafe fn tiles(args: Args, begin: usize, end: usize, _thread: usize) {
    let (a, b, c) = (args.input::<f32>(0), args.input::<f32>(1), args.output::<f32>(2));
    let (m, n, depth, stride, keep) = (args.size(3), args.size(4), args.size(5), args.size(6), args.flag(7));
    let (tile_m, tile_n) = (args.size(8), args.size(9));
    let down = m.div_ceil(tile_m);
    let chunks = depth.div_ceil(DEPTH).max(1);
    let chunk = depth.div_ceil(chunks);
    for tile in begin..end {
        let (top, left) = (tile % down * tile_m, tile / down * tile_n);
        let (bottom, right) = (m.min(top + tile_m), n.min(left + tile_n));
        let mut from = 0;
        while from < depth {
            let deep = chunk.min(depth - from);
            let add = keep || from > 0;
            for j in (left..right).step_by(8) {
                for i in (top..bottom).step_by(4) {
                    unsafe {
                        let pa = a.add(i * depth + from * 4);
                        let pb = b.add(j * depth + from * 8);
                        let out = c.add(i * stride + j);
                        if bottom - i >= 4 && right - j >= 8 {
                            micro(pa, pb, deep, out, stride, add);
                        } else {
                            edge(pa, pb, deep, out, stride, add, (bottom - i).min(4), (right - j).min(8));
                        }
                    }
                }
            }
            from += deep;
        }
    }
}

/// Less than 4 × 8 entries at the rim of `c`.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
unsafe fn edge(
    a: *const f32,
    b: *const f32,
    depth: usize,
    c: *mut f32,
    stride: usize,
    add: bool,
    rows: usize,
    columns: usize,
) {
    unsafe {
        let mut whole = [0f32; 32];
        micro(a, b, depth, whole.as_mut_ptr(), 8, false);
        for i in 0..rows {
            for j in 0..columns {
                let out = c.add(i * stride + j);
                *out = if add { *out + whole[i * 8 + j] } else { whole[i * 8 + j] };
            }
        }
    }
}

/// A few rows times a weight `[N, K]`, each weight read once; items are columns of the result.
///
/// Arguments: a, weight, c, M, K, stride of a, stride of c, dtype of the weight, whether to add to c, working memory of
/// `M · K` f32 a thread.
pub unsafe fn rows(args: Args, begin: usize, end: usize, thread: usize) {
    unsafe {
        match args.size(7) {
            code if code >= 5 => by_blocks!(code, rows_of_blocks(args, begin, end, thread)),
            code => by_dtype!(code, rows_of(args, begin, end, thread)),
        }
    }
}

unsafe fn rows_of_blocks<B: Blocks>(args: Args, begin: usize, end: usize, thread: usize) {
    let (m, depth, c_stride) = (args.size(3), args.size(4), args.size(6));
    unsafe {
        let a = (args.input::<f32>(0), args.size(5));
        let sums = summed::<B>(a, m, depth, args.output::<f32>(9).wrapping_add(thread * m * depth));
        let (b, c) = (args.input::<u8>(1).add(begin * (depth / BLOCK * B::BYTES)), args.output::<f32>(2).add(begin));
        all_block_dots::<B>((m, end - begin, depth), a, sums, b, (c, c_stride), args.flag(8));
    }
}

/// The sums of the blocks of some rows in `own`, where a type of block needs them.
#[inline(always)]
unsafe fn summed<B: Blocks>(a: (*const f32, usize), m: usize, depth: usize, own: *mut f32) -> *const f32 {
    if B::LEAST {
        unsafe { block_sums(a, m, depth / BLOCK, own) };
    }
    own
}

/// Widens blocks; items are blocks. Arguments: source, target, dtype.
pub unsafe fn widen(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe { by_blocks!(args.size(2), widen_some(args, begin, end)) }
}

unsafe fn widen_some<B: Blocks>(args: Args, begin: usize, end: usize) {
    unsafe {
        let (from, to) = (args.input::<u8>(0).add(begin * B::BYTES), args.output::<f32>(1).add(begin * BLOCK));
        widen_blocks::<B>(from, to, end - begin);
    }
}

unsafe fn rows_of<T: Element>(args: Args, begin: usize, end: usize, thread: usize) {
    let (m, depth, c_stride) = (args.size(3), args.size(4), args.size(6));
    unsafe {
        let a = arranged::<T>((args.input(0), args.size(5)), m, depth, args.output::<f32>(9).wrapping_add(thread * m * depth));
        let (b, c) = (args.input::<T>(1).add(begin * depth), args.output::<f32>(2).add(begin));
        all_dots((m, end - begin, depth), a, (b, depth), (c, c_stride), args.flag(8));
    }
}

/// Several weights `[Nᵢ, K]` times the same few rows; items are the columns of all results, one after another.
///
/// Arguments: a `[M, K]`, M, K, dtype of the weights, working memory of `M · K` f32 a thread, how many weights; then for
/// each: weight, result, N.
pub unsafe fn linears(args: Args, begin: usize, end: usize, thread: usize) {
    unsafe {
        match args.size(3) {
            code if code >= 5 => by_blocks!(code, linears_of_blocks(args, begin, end, thread)),
            code => by_dtype!(code, linears_of(args, begin, end, thread)),
        }
    }
}

unsafe fn linears_of_blocks<B: Blocks>(args: Args, begin: usize, end: usize, thread: usize) {
    let (m, depth) = (args.size(1), args.size(2));
    unsafe {
        let a = (args.input::<f32>(0), depth);
        let sums = summed::<B>(a, m, depth, args.output::<f32>(4).wrapping_add(thread * m * depth));
        each_layer(args, begin, end, |weight, out, j, n, count| {
            let weight = (weight as *const u8).add(j * (depth / BLOCK * B::BYTES));
            all_block_dots::<B>((m, count, depth), a, sums, weight, (out.add(j), n), false);
        });
    }
}

/// Calls `f(weight, result, first column, N, columns)` for the part of each layer that lies in `begin … end − 1`.
#[inline(always)]
unsafe fn each_layer(args: Args, begin: usize, end: usize, f: impl Fn(usize, *mut f32, usize, usize, usize)) {
    let mut first = 0;
    for i in 0..args.size(5) {
        let at = 6 + 3 * i;
        let (weight, out, n) = (args.size(at), args.output::<f32>(at + 1), args.size(at + 2));
        let (from, to) = (begin.max(first), end.min(first + n));
        if from < to {
            f(weight, out, from - first, n, to - from);
        }
        first += n;
    }
}

unsafe fn linears_of<T: Element>(args: Args, begin: usize, end: usize, thread: usize) {
    let (m, depth) = (args.size(1), args.size(2));
    unsafe {
        let a = arranged::<T>((args.input(0), depth), m, depth, args.output::<f32>(4).wrapping_add(thread * m * depth));
        each_layer(args, begin, end, |weight, out, j, n, count| {
            let weight = (weight as *const T).add(j * depth);
            all_dots((m, count, depth), a, (weight, depth), (out.add(j), n), false);
        });
    }
}

/// Rows with their eights in the order of [`Element::half8`], copied to `own` where that is another than theirs; with their
/// stride.
#[inline(always)]
unsafe fn arranged<T: Element>(
    (a, stride): (*const f32, usize),
    m: usize,
    depth: usize,
    own: *mut f32,
) -> (*const f32, usize) {
    if !T::ARRANGED {
        return (a, stride);
    }
    unsafe {
        for i in 0..m {
            let (from, to) = (a.add(i * stride), own.add(i * depth));
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
    (own, depth)
}

/// A product of small blocks in place: `c[i][j] (+)= Σ a[i][k] · b[k][j]`, `a` with any strides, `b` and `c` by rows.
pub struct Small {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Steps in `a` from row to row, and along the sum.
    pub a_row: usize,
    pub a_k: usize,
    pub b_row: usize,
    pub c_row: usize,
    pub add: bool,
}

impl Small {
    #[inline(always)]
    unsafe fn tile<const R: usize, const V: usize>(&self, a: *const f32, b: *const f32, c: *mut f32) {
        unsafe {
            let mut acc = [[ZERO; V]; R];
            let (mut a, mut b) = (a, b);
            for _ in 0..self.k {
                let mut y = [ZERO; V];
                for (v, y) in y.iter_mut().enumerate() {
                    *y = load(b.add(v * 4));
                }
                for (r, row) in acc.iter_mut().enumerate() {
                    let x = splat(a.add(r * self.a_row));
                    for v in 0..V {
                        row[v] = fma(x, y[v], row[v]);
                    }
                }
                (a, b) = (a.wrapping_add(self.a_k), b.wrapping_add(self.b_row));
            }
            for (r, row) in acc.iter().enumerate() {
                for (v, value) in row.iter().enumerate() {
                    let out = c.add(r * self.c_row + v * 4);
                    store(out, if self.add { f32x4_add(load(out), *value) } else { *value });
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn band<const R: usize>(&self, a: *const f32, b: *const f32, c: *mut f32) {
        unsafe {
            let mut j = 0;
            while j + 8 <= self.n {
                self.tile::<R, 2>(a, b.add(j), c.add(j));
                j += 8;
            }
            if j + 4 <= self.n {
                self.tile::<R, 1>(a, b.add(j), c.add(j));
                j += 4;
            }
            while j < self.n {
                for r in 0..R {
                    let mut total = 0.0;
                    for k in 0..self.k {
                        total += *a.add(r * self.a_row + k * self.a_k) * *b.add(k * self.b_row + j);
                    }
                    let out = c.add(r * self.c_row + j);
                    *out = if self.add { *out + total } else { total };
                }
                j += 1;
            }
        }
    }

    /// Does it.
    pub unsafe fn run(&self, a: *const f32, b: *const f32, c: *mut f32) {
        unsafe {
            let mut i = 0;
            while i + 4 <= self.m {
                self.band::<4>(a.add(i * self.a_row), b, c.add(i * self.c_row));
                i += 4;
            }
            let (a, c) = (a.add(i * self.a_row), c.add(i * self.c_row));
            match self.m - i {
                1 => self.band::<1>(a, b, c),
                2 => self.band::<2>(a, b, c),
                3 => self.band::<3>(a, b, c),
                _ => {}
            }
        }
    }
}
