//! Dot products of a few rows with columns that lie as rows: weights, keys.

use crate::dtype::Element;
use crate::simd::*;
use core::arch::wasm32::*;

/// Lanes of `R × C` dot products over whole fours of `depth` entries; whole eights of `a` lie in the order of
/// [`Element::half8`]. Each is summed in one order, whatever R and C: a row's products do not depend on the rows beside it,
/// so a model's answer to a token does not depend on how many it is given at once.
#[inline(always)]
unsafe fn lanes<T: Element, const R: usize, const C: usize>(
    (a, a_stride): (*const f32, usize),
    (b, b_stride): (*const T, usize),
    depth: usize,
) -> [[v128; C]; R] {
    unsafe {
        let mut acc = [[ZERO; C]; R];
        let mut k = 0;
        while k + 8 <= depth {
            for half in 0..2 {
                step::<R, C>(
                    &mut acc,
                    |r| load(a.add(r * a_stride + k + 4 * half)),
                    |c| T::half8(b.add(c * b_stride + k), half),
                );
            }
            k += 8;
        }
        while k + 4 <= depth {
            step::<R, C>(&mut acc, |r| load(a.add(r * a_stride + k)), |c| T::load4(b.add(c * b_stride + k)));
            k += 4;
        }
        acc
    }
}

/// One vector of each row times one of each column. The shorter side stays in registers, the longer one comes in turn.
#[inline(always)]
unsafe fn step<const R: usize, const C: usize>(
    acc: &mut [[v128; C]; R],
    x: impl Fn(usize) -> v128,
    y: impl Fn(usize) -> v128,
) {
    if R < C {
        let x: [v128; R] = core::array::from_fn(x);
        for c in 0..C {
            let y = y(c);
            for r in 0..R {
                acc[r][c] = fma(x[r], y, acc[r][c]);
            }
        }
    } else {
        let y: [v128; C] = core::array::from_fn(y);
        for r in 0..R {
            let x = x(r);
            for c in 0..C {
                acc[r][c] = fma(x, y[c], acc[r][c]);
            }
        }
    }
}

/// Dot products of four rows with two neighbouring columns: two vectors of four rows.
#[inline(always)]
unsafe fn pair<T: Element>(a: (*const f32, usize), b: (*const T, usize), depth: usize) -> [v128; 2] {
    unsafe {
        let l = lanes::<T, 4, 2>(a, b, depth);
        let mut found = [sums([l[0][0], l[1][0], l[2][0], l[3][0]]), sums([l[0][1], l[1][1], l[2][1], l[3][1]])];
        for k in depth / 4 * 4..depth {
            let x = |i: usize| *a.0.add(i * a.1 + k);
            let x = f32x4(x(0), x(1), x(2), x(3));
            for (c, found) in found.iter_mut().enumerate() {
                *found = f32x4_add(*found, f32x4_mul(x, f32x4_splat(T::load1(b.0.add(c * b.1 + k)))));
            }
        }
        found
    }
}

/// Four rows and four columns, written or added to `out`. Each entry of 16 bits is widened once for all rows.
#[inline(always)]
unsafe fn square<T: Element>(
    a: (*const f32, usize),
    b: (*const T, usize),
    depth: usize,
    out: (*mut f32, usize),
    add: bool,
) {
    unsafe {
        let ([p, q], [r, s]) = (pair(a, b, depth), pair(a, (b.0.add(2 * b.1), b.1), depth));
        for (i, found) in transpose([p, q, r, s]).into_iter().enumerate() {
            let p = out.0.add(i * out.1);
            store(p, if add { f32x4_add(load(p), found) } else { found });
        }
    }
}

/// Dot products of R rows with `C` neighbouring columns, four, eight …, written or added to `out`.
#[inline(always)]
unsafe fn tile<T: Element, const R: usize, const C: usize>(
    a: (*const f32, usize),
    b: (*const T, usize),
    depth: usize,
    out: (*mut f32, usize),
    add: bool,
) {
    unsafe {
        let all = lanes::<T, R, C>(a, b, depth);
        for c in (0..C).step_by(4) {
            for (r, l) in all.iter().enumerate() {
                let mut found = sums([l[c], l[c + 1], l[c + 2], l[c + 3]]);
                for k in depth / 4 * 4..depth {
                    let y = |i: usize| T::load1(b.0.add((c + i) * b.1 + k));
                    found = f32x4_add(found, f32x4_mul(splat(a.0.add(r * a.1 + k)), f32x4(y(0), y(1), y(2), y(3))));
                }
                let p = out.0.add(r * out.1 + c);
                store(p, if add { f32x4_add(load(p), found) } else { found });
            }
        }
    }
}

/// One dot product, summed as the others are.
#[inline(always)]
unsafe fn dot1<T: Element>(a: *const f32, b: *const T, depth: usize) -> f32 {
    unsafe {
        let mut total = sum(lanes::<T, 1, 1>((a, 0), (b, 0), depth)[0][0]);
        for k in depth / 4 * 4..depth {
            total += *a.add(k) * T::load1(b.add(k));
        }
        total
    }
}

/// The sums of the lanes of four vectors, each in the order of [`sum`].
#[inline(always)]
fn sums(v: [v128; 4]) -> v128 {
    let [p, q, r, s] = transpose(v);
    f32x4_add(f32x4_add(p, r), f32x4_add(q, s))
}

/// Dot products of every row of `a` with every row of `b`: `out[i][j] = a_i · b_j`, or added to it. See [`lanes`] for the
/// order of `a`.
#[inline(always)]
pub unsafe fn all_dots<T: Element>(
    (m, n, depth): (usize, usize, usize),
    (a, a_stride): (*const f32, usize),
    (b, b_stride): (*const T, usize),
    (out, out_stride): (*mut f32, usize),
    add: bool,
) {
    // As many sums at once as it takes for none to wait for itself, and as registers hold.
    macro_rules! block {
        ($i:expr, $j:expr, $r:literal, $c:literal) => {
            tile::<T, $r, $c>(
                (a.add($i * a_stride), a_stride),
                (b.add($j * b_stride), b_stride),
                depth,
                (out.add($i * out_stride + $j), out_stride),
                add,
            )
        };
    }
    macro_rules! fours {
        ($i:expr, $j:expr) => {
            square::<T>(
                (a.add($i * a_stride), a_stride),
                (b.add($j * b_stride), b_stride),
                depth,
                (out.add($i * out_stride + $j), out_stride),
                add,
            )
        };
    }
    unsafe {
        let fours = if size_of::<T>() < 4 { m / 4 * 4 } else { 0 };
        let (mut j, pairs) = (0, m / 2 * 2);
        while j + 8 <= n {
            for i in (0..fours).step_by(4) {
                fours!(i, j);
                fours!(i, j + 4);
            }
            for i in (fours..pairs).step_by(2) {
                block!(i, j, 2, 4);
                block!(i, j + 4, 2, 4);
            }
            if pairs < m {
                block!(pairs, j, 1, 8);
            }
            j += 8;
        }
        while j + 4 <= n {
            for i in (0..fours).step_by(4) {
                fours!(i, j);
            }
            for i in (fours..pairs).step_by(2) {
                block!(i, j, 2, 4);
            }
            if pairs < m {
                block!(pairs, j, 1, 4);
            }
            j += 4;
        }
        while j < n {
            for i in 0..m {
                let p = out.add(i * out_stride + j);
                let found = dot1(a.add(i * a_stride), b.add(j * b_stride), depth);
                *p = if add { *p + found } else { found };
            }
            j += 1;
        }
    }
}
