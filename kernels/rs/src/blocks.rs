//! Weights in blocks of 32 small integers with a scale (ggml's Q8_0, Q4_0 and Q4_1), multiplied as they are stored.

use crate::dtype::widen_high;
use crate::simd::*;
use core::arch::wasm32::*;

/// Entries of a block.
pub const BLOCK: usize = 32;

/// A type of block.
pub trait Blocks {
    /// Bytes of a block; its first two are the scale, in half precision.
    const BYTES: usize;
    /// Whether the two bytes after the scale are added to every entry.
    const LEAST: bool;
    /// The 32 integers.
    unsafe fn integers(block: *const u8) -> [v128; 8];
}

/// Half precision at an address, in all lanes; see [`widen_high`].
#[inline(always)]
unsafe fn half(p: *const u8) -> v128 {
    widen_high(i32x4_splat((unsafe { (p as *const u16).read_unaligned() } as i32) << 16))
}

/// 16 signed bytes.
#[inline(always)]
fn bytes(v: v128) -> [v128; 4] {
    let (low, high) = (i16x8_extend_low_i8x16(v), i16x8_extend_high_i8x16(v));
    [
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(low)),
        f32x4_convert_i32x4(i32x4_extend_high_i16x8(low)),
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(high)),
        f32x4_convert_i32x4(i32x4_extend_high_i16x8(high)),
    ]
}

#[inline(always)]
fn both([a, b, c, d]: [v128; 4], [e, f, g, h]: [v128; 4]) -> [v128; 8] {
    [a, b, c, d, e, f, g, h]
}

/// The lower four bits of 16 bytes, then their upper four, less `bias`.
#[inline(always)]
unsafe fn nibbles(p: *const u8, bias: i8) -> [v128; 8] {
    let (v, bias) = (unsafe { v128_load(p as *const v128) }, i8x16_splat(bias));
    let (low, high) = (v128_and(v, u8x16_splat(15)), u8x16_shr(v, 4));
    both(bytes(i8x16_sub(low, bias)), bytes(i8x16_sub(high, bias)))
}

/// Scale, 32 bytes.
pub struct Q8_0;

impl Blocks for Q8_0 {
    const BYTES: usize = 34;
    const LEAST: bool = false;
    #[inline(always)]
    unsafe fn integers(block: *const u8) -> [v128; 8] {
        unsafe { both(bytes(v128_load(block.add(2) as *const v128)), bytes(v128_load(block.add(18) as *const v128))) }
    }
}

/// Scale, 16 bytes: the first half of the entries in their lower bits, the second in their upper ones; 8 is zero.
pub struct Q4_0;

impl Blocks for Q4_0 {
    const BYTES: usize = 18;
    const LEAST: bool = false;
    #[inline(always)]
    unsafe fn integers(block: *const u8) -> [v128; 8] {
        unsafe { nibbles(block.add(2), 8) }
    }
}

/// Scale, least entry, 16 bytes as in [`Q4_0`].
pub struct Q4_1;

impl Blocks for Q4_1 {
    const BYTES: usize = 20;
    const LEAST: bool = true;
    #[inline(always)]
    unsafe fn integers(block: *const u8) -> [v128; 8] {
        unsafe { nibbles(block.add(4), 0) }
    }
}

/// Sums of the lanes of every block of some rows: what a block's least entry is multiplied with. `[rows, blocks]`, a vector
/// each.
pub unsafe fn block_sums((a, a_stride): (*const f32, usize), rows: usize, blocks: usize, sums: *mut f32) {
    for r in 0..rows {
        for i in 0..blocks {
            unsafe {
                let x = a.add(r * a_stride + i * BLOCK);
                let mut total = load(x);
                for j in 1..8 {
                    total = f32x4_add(total, load(x.add(4 * j)));
                }
                store(sums.add((r * blocks + i) * 4), total);
            }
        }
    }
}

/// Dot products of R rows with one column of `blocks` blocks. Each is summed in one order, whatever R.
#[inline(always)]
unsafe fn dots<B: Blocks, const R: usize>(
    (a, a_stride): (*const f32, usize),
    sums: *const f32,
    column: *const u8,
    blocks: usize,
) -> [f32; R] {
    unsafe {
        let mut acc = [ZERO; R];
        for i in 0..blocks {
            let block = column.add(i * B::BYTES);
            let (scale, w) = (half(block), B::integers(block));
            for r in 0..R {
                let x = a.add(r * a_stride + i * BLOCK);
                // Two sums, so that none waits for itself.
                let (mut p, mut q) = (f32x4_mul(load(x), w[0]), f32x4_mul(load(x.add(4)), w[1]));
                for j in (2..8).step_by(2) {
                    p = fma(load(x.add(4 * j)), w[j], p);
                    q = fma(load(x.add(4 * j + 4)), w[j + 1], q);
                }
                acc[r] = fma(f32x4_add(p, q), scale, acc[r]);
                if B::LEAST {
                    acc[r] = fma(load(sums.add((r * blocks + i) * 4)), half(block.add(2)), acc[r]);
                }
            }
        }
        acc.map(sum)
    }
}

/// Dot products of every row of `a` with every row of a weight: `out[i][j] = a_i · b_j`, or added to it. `sums` is as
/// [`block_sums`] leaves it, where the type has least entries.
#[inline(always)]
pub unsafe fn all_block_dots<B: Blocks>(
    (m, n, depth): (usize, usize, usize),
    (a, a_stride): (*const f32, usize),
    sums: *const f32,
    b: *const u8,
    (out, out_stride): (*mut f32, usize),
    add: bool,
) {
    let blocks = depth / BLOCK;
    macro_rules! some {
        ($i:expr, $j:expr, $column:expr, $r:literal) => {
            let found = dots::<B, $r>((a.add($i * a_stride), a_stride), sums.add($i * blocks * 4), $column, blocks);
            for (r, found) in found.into_iter().enumerate() {
                let p = out.add(($i + r) * out_stride + $j);
                *p = if add { *p + found } else { found };
            }
        };
    }
    for j in 0..n {
        unsafe {
            let column = b.add(j * blocks * B::BYTES);
            let mut i = 0;
            while i + 4 <= m {
                some!(i, j, column, 4);
                i += 4;
            }
            if i + 2 <= m {
                some!(i, j, column, 2);
                i += 2;
            }
            if i < m {
                some!(i, j, column, 1);
            }
        }
    }
}

/// Widens `blocks` blocks to f32.
#[inline(always)]
pub unsafe fn widen_blocks<B: Blocks>(from: *const u8, to: *mut f32, blocks: usize) {
    for i in 0..blocks {
        unsafe {
            let block = from.add(i * B::BYTES);
            let scale = half(block);
            for (j, w) in B::integers(block).into_iter().enumerate() {
                let value = f32x4_mul(w, scale);
                let value = if B::LEAST { f32x4_add(value, half(block.add(2))) } else { value };
                store(to.add(i * BLOCK + 4 * j), value);
            }
        }
    }
}

/// Calls `$f::<B>($args)` with the type of block that a dtype code says: 5 Q8_0, 6 Q4_0, 7 Q4_1.
#[macro_export]
macro_rules! by_blocks {
    ($code:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $code {
            5 => $f::<$crate::blocks::Q8_0>($($arg),*),
            6 => $f::<$crate::blocks::Q4_0>($($arg),*),
            _ => $f::<$crate::blocks::Q4_1>($($arg),*),
        }
    };
}
