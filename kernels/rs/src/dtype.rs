//! Weights stored in 16 bits, widened as they are read.

use crate::simd::{load, store};
use core::arch::wasm32::*;

/// An element type that is read as f32.
pub trait Element: Copy {
    /// Four entries from an address on.
    unsafe fn load4(p: *const Self) -> v128;
    /// Four of eight entries from an address on: which ones `half` (0 or 1) means is the type's own affair.
    #[inline(always)]
    unsafe fn half8(p: *const Self, half: usize) -> v128 {
        unsafe { Self::load4(p.add(4 * half)) }
    }
    /// Whether the halves are others than the first four and the last four.
    const ARRANGED: bool = false;
    /// Copies eight f32, those of half 0 before those of half 1.
    #[inline(always)]
    unsafe fn arrange8(from: *const f32, to: *mut f32) {
        unsafe {
            store(to, load(from));
            store(to.add(4), load(from.add(4)));
        }
    }
    /// One entry.
    unsafe fn load1(p: *const Self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load4(p: *const f32) -> v128 {
        unsafe { load(p) }
    }
    #[inline(always)]
    unsafe fn load1(p: *const f32) -> f32 {
        unsafe { *p }
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Element for Bf16 {
    #[inline(always)]
    unsafe fn load4(p: *const Bf16) -> v128 {
        // Not a shuffle with zeros: V8 makes that two byte shuffles, three times as slow in a product.
        i32x4_shl(unsafe { u32x4_load_extend_u16x4(p as *const u16) }, 16)
    }
    // Entries of even index, then those of odd index: each is a single instruction away.
    #[inline(always)]
    unsafe fn half8(p: *const Bf16, half: usize) -> v128 {
        let pairs = unsafe { v128_load(p as *const v128) };
        if half == 0 { i32x4_shl(pairs, 16) } else { v128_and(pairs, u32x4_splat(0xffff_0000)) }
    }
    const ARRANGED: bool = true;
    #[inline(always)]
    unsafe fn arrange8(from: *const f32, to: *mut f32) {
        unsafe {
            let (x, y) = (load(from), load(from.add(4)));
            store(to, i32x4_shuffle::<0, 2, 4, 6>(x, y));
            store(to.add(4), i32x4_shuffle::<1, 3, 5, 7>(x, y));
        }
    }
    #[inline(always)]
    unsafe fn load1(p: *const Bf16) -> f32 {
        f32::from_bits((unsafe { (*p).0 } as u32) << 16)
    }
}

/// IEEE 754 half precision.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F16(pub u16);

/// Widens four halves, each in the low bits of its lane.
#[inline(always)]
fn widen(halves: v128) -> v128 {
    let sign = i32x4_shl(v128_and(halves, i32x4_splat(0x8000)), 16);
    let rest = i32x4_shl(v128_and(halves, i32x4_splat(0x7fff)), 13);
    // The exponent's bias differs by 112; a product makes subnormals right as well.
    let scaled = f32x4_mul(rest, f32x4_splat(5.192_296_9e33));
    let special = i32x4_ge(v128_and(halves, i32x4_splat(0x7c00)), i32x4_splat(0x7c00));
    let value = v128_bitselect(v128_or(rest, i32x4_splat(0x7f80_0000)), scaled, special);
    v128_or(value, sign)
}

/// Widens four halves, each in the upper bits of its lane; what lies below them is left out. No infinities: they are 65536 and
/// more here, which no weight is.
#[inline(always)]
pub fn widen_high(halves: v128) -> v128 {
    // Shifting the sign along leaves ones between it and the exponent, which the mask takes out.
    let value = v128_and(i32x4_shr(halves, 3), u32x4_splat(0x8fff_e000));
    f32x4_mul(value, f32x4_splat(5.192_296_9e33))
}

impl Element for F16 {
    // As of `Bf16`: entries of even index, then those of odd index.
    #[inline(always)]
    unsafe fn half8(p: *const F16, half: usize) -> v128 {
        let pairs = unsafe { v128_load(p as *const v128) };
        widen_high(if half == 0 { i32x4_shl(pairs, 16) } else { pairs })
    }
    const ARRANGED: bool = true;
    #[inline(always)]
    unsafe fn arrange8(from: *const f32, to: *mut f32) {
        unsafe { Bf16::arrange8(from, to) }
    }
    #[inline(always)]
    unsafe fn load4(p: *const F16) -> v128 {
        widen(unsafe { u32x4_load_extend_u16x4(p as *const u16) })
    }
    #[inline(always)]
    unsafe fn load1(p: *const F16) -> f32 {
        f32x4_extract_lane::<0>(widen(u32x4_splat(unsafe { (*p).0 } as u32)))
    }
}

/// To nearest, ties to even.
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// To nearest, ties to even; too large becomes infinite.
pub fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00; // 65520 and more
    }
    if magnitude >= 0x3880_0000 {
        let rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
        return sign | ((rounded - 0x3800_0000) >> 13) as u16;
    }
    // Subnormal: adding 0.5 leaves the bits of x in units of 2⁻²⁴, rounded, at the mantissa's end.
    let units = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
    sign | units as u16
}

/// Calls `$f::<T>($args)` with T as a dtype code says: 0 f32, 1 bf16, 2 f16. Blocks have codes from 5 on, see `blocks`.
#[macro_export]
macro_rules! by_dtype {
    ($code:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $code {
            0 => $f::<f32>($($arg),*),
            1 => $f::<$crate::dtype::Bf16>($($arg),*),
            _ => $f::<$crate::dtype::F16>($($arg),*),
        }
    };
}
