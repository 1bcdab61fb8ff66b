//! Vectors of four f32: what the kernels are built of.

use core::arch::wasm32::*;

/// `a · b + c`; rounded once where the machine can.
#[inline(always)]
pub fn fma(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    f32x4_add(f32x4_mul(a, b), c)
}

#[inline(always)]
pub unsafe fn load(p: *const f32) -> v128 {
    unsafe { v128_load(p as *const v128) }
}

#[inline(always)]
pub unsafe fn store(p: *mut f32, v: v128) {
    unsafe { v128_store(p as *mut v128, v) }
}

/// One entry in all lanes.
#[inline(always)]
pub unsafe fn splat(p: *const f32) -> v128 {
    unsafe { v128_load32_splat(p as *const u32) }
}

pub const ZERO: v128 = f32x4(0.0, 0.0, 0.0, 0.0);

/// Sum of the lanes.
#[inline(always)]
pub fn sum(v: v128) -> f32 {
    let pairs = f32x4_add(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    f32x4_extract_lane::<0>(f32x4_add(pairs, i32x4_shuffle::<1, 0, 3, 2>(pairs, pairs)))
}

/// Largest lane; a NaN counts as nothing.
#[inline(always)]
pub fn largest(v: v128) -> f32 {
    let pairs = f32x4_pmax(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    f32x4_extract_lane::<0>(f32x4_pmax(pairs, i32x4_shuffle::<1, 0, 3, 2>(pairs, pairs)))
}

/// Rows become columns.
#[inline(always)]
pub fn transpose(r: [v128; 4]) -> [v128; 4] {
    let (a, b) = (i32x4_shuffle::<0, 4, 1, 5>(r[0], r[1]), i32x4_shuffle::<2, 6, 3, 7>(r[0], r[1]));
    let (c, d) = (i32x4_shuffle::<0, 4, 1, 5>(r[2], r[3]), i32x4_shuffle::<2, 6, 3, 7>(r[2], r[3]));
    [
        i32x4_shuffle::<0, 1, 4, 5>(a, c),
        i32x4_shuffle::<2, 3, 6, 7>(a, c),
        i32x4_shuffle::<0, 1, 4, 5>(b, d),
        i32x4_shuffle::<2, 3, 6, 7>(b, d),
    ]
}

/// Largest of many; `least` if there are none, or all are NaN.
#[inline(always)]
pub unsafe fn max_of(x: *const f32, n: usize, least: f32) -> f32 {
    unsafe {
        let (mut a, mut b) = (f32x4_splat(least), f32x4_splat(least));
        let mut i = 0;
        while i + 8 <= n {
            (a, b) = (f32x4_pmax(a, load(x.add(i))), f32x4_pmax(b, load(x.add(i + 4))));
            i += 8;
        }
        let mut most = largest(f32x4_pmax(a, b));
        while i < n {
            most = most.max(*x.add(i));
            i += 1;
        }
        most
    }
}

/// eˣ of several vectors at once: `2ⁿ · eʳ` with |r| ≤ ln 2 / 2 and the Taylor polynomial of degree 7, whose rest is 5e-9.
/// Zero below −87.3, infinite above 88.7. Two at once take less than one after the other: constants serve both.
#[inline(always)]
pub fn exps<const N: usize>(x: [v128; N]) -> [v128; N] {
    // ln 2 in two parts, the first with zeros at its end so that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    // Added to a small number it leaves that, rounded, in the last bits.
    const ROUND: f32 = 12_582_912.0;
    // `pmin` and `pmax` are one instruction each and keep a NaN on the left.
    let bounded = x.map(|x| f32x4_pmin(f32x4_pmax(x, f32x4_splat(-87.3)), f32x4_splat(88.8)));
    let shifted = bounded.map(|x| fma(x, f32x4_splat(core::f32::consts::LOG2_E), f32x4_splat(ROUND)));
    let mut r = [ZERO; N];
    for i in 0..N {
        let n = f32x4_sub(shifted[i], f32x4_splat(ROUND));
        let high = fma(n, f32x4_splat(-LN2_HIGH), bounded[i]);
        r[i] = fma(n, f32x4_splat(-LN2_LOW), high);
    }
    let mut p = [f32x4_splat(1.0 / 5040.0); N];
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        for i in 0..N {
            p[i] = fma(p[i], r[i], f32x4_splat(factor));
        }
    }
    for i in 0..N {
        let power = i32x4_add(i32x4_shl(shifted[i], 23), i32x4_splat(127 << 23));
        p[i] = v128_andnot(f32x4_mul(p[i], power), f32x4_lt(x[i], f32x4_splat(-87.3)));
    }
    p
}

/// eˣ, see [`exps`].
#[inline(always)]
pub fn exp(x: v128) -> v128 {
    exps([x])[0]
}

/// eˣ of one number, the same as [`exp`] in a lane.
pub fn exp1(x: f32) -> f32 {
    f32x4_extract_lane::<0>(exp(f32x4_splat(x)))
}
