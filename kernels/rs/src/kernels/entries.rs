//! Kernels that work entry by entry.

use crate::by_dtype;
use crate::dtype::{Element, to_bf16, to_f16};
use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// Second operand of [`add`] and [`mul`].
const ROW: usize = 1;
const SCALAR: usize = 2;

/// `out[i] = vector(a[i], b[i])` in lanes, `single` for the rest; `b_step` 0 takes the same b for all.
#[inline(always)]
unsafe fn zip(
    (a, b, out): (*const f32, *const f32, *mut f32),
    n: usize,
    scalar: bool,
    vector: impl Fn(v128, v128) -> v128,
) {
    unsafe {
        let mut i = 0;
        let same = if scalar { splat(b) } else { ZERO };
        while i + 4 <= n {
            let second = if scalar { same } else { load(b.add(i)) };
            store(out.add(i), vector(load(a.add(i)), second));
            i += 4;
        }
        while i < n {
            let second = if scalar { same } else { splat(b.add(i)) };
            *out.add(i) = f32x4_extract_lane::<0>(vector(splat(a.add(i)), second));
            i += 1;
        }
    }
}

/// Items are entries, or rows of N where b is a row.
#[inline(always)]
unsafe fn binary(args: Args, begin: usize, end: usize, vector: impl Fn(v128, v128) -> v128) {
    let (a, b, out) = (args.input::<f32>(0), args.input::<f32>(1), args.output::<f32>(2));
    let (kind, n) = (args.size(3), args.size(4));
    unsafe {
        match kind {
            ROW => {
                for row in begin..end {
                    zip((a.add(row * n), b, out.add(row * n)), n, false, &vector);
                }
            }
            SCALAR => zip((a.add(begin), b, out.add(begin)), end - begin, true, vector),
            _ => zip((a.add(begin), b.add(begin), out.add(begin)), end - begin, false, vector),
        }
    }
}

/// `a + alpha · b`. Arguments: a, b, out, 0 same, 1 row, 2 scalar; N; alpha.
pub unsafe fn add(args: Args, begin: usize, end: usize, _thread: usize) {
    let alpha = f32x4_splat(args.scalar(5));
    unsafe { binary(args, begin, end, |a, b| fma(alpha, b, a)) }
}

/// `a · b`. Arguments as for [`add`].
pub unsafe fn mul(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe { binary(args, begin, end, |a, b| f32x4_mul(a, b)) }
}

/// One value everywhere. Arguments: scalar's address, out.
pub unsafe fn expand(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe {
        let value = *args.input::<f32>(0);
        core::slice::from_raw_parts_mut(args.output::<f32>(1).add(begin), end - begin).fill(value);
    }
}

/// Between f32, bf16 and f16. Arguments: x, out, dtype of x, dtype of out.
pub unsafe fn cast(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe { by_dtype!(args.size(2), cast_from(args, begin, end)) }
}

unsafe fn cast_from<T: Element>(args: Args, begin: usize, end: usize) {
    let x = args.input::<T>(0);
    unsafe {
        match args.size(3) {
            0 => {
                let out = args.output::<f32>(1);
                let mut i = begin;
                while i + 4 <= end {
                    store(out.add(i), T::load4(x.add(i)));
                    i += 4;
                }
                for i in i..end {
                    *out.add(i) = T::load1(x.add(i));
                }
            }
            to => {
                let out = args.output::<u16>(1);
                let narrow = if to == 1 { to_bf16 } else { to_f16 };
                for i in begin..end {
                    *out.add(i) = narrow(T::load1(x.add(i)));
                }
            }
        }
    }
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
fn sigmoid(x: v128) -> v128 {
    let one = f32x4_splat(1.0);
    f32x4_div(one, f32x4_add(one, exp(f32x4_neg(x))))
}

/// `silu(gate) · up` of several vectors.
#[inline(always)]
fn gated<const N: usize>(gate: [v128; N], up: [v128; N]) -> [v128; N] {
    let one = f32x4_splat(1.0);
    let e = exps(gate.map(|g| f32x4_neg(g)));
    core::array::from_fn(|i| {
        f32x4_mul(f32x4_mul(gate[i], f32x4_div(one, f32x4_add(one, e[i]))), up[i])
    })
}

/// `silu(gate) · up`. Arguments: gate, up, out.
pub unsafe fn swiglu(args: Args, begin: usize, end: usize, _thread: usize) {
    let (gate, up, out) = (args.input::<f32>(0), args.input::<f32>(1), args.output::<f32>(2));
    unsafe {
        let mut i = begin;
        while i + 8 <= end {
            let y = gated([load(gate.add(i)), load(gate.add(i + 4))], [load(up.add(i)), load(up.add(i + 4))]);
            store(out.add(i), y[0]);
            store(out.add(i + 4), y[1]);
            i += 8;
        }
        zip((gate.add(i), up.add(i), out.add(i)), end - i, false, |g, u| gated([g], [u])[0]);
    }
}

/// Gradients of [`swiglu`]. Arguments: gate, up, dout, dgate, dup.
pub unsafe fn swiglu_grad(args: Args, begin: usize, end: usize, _thread: usize) {
    let (gate, up, dout) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (dgate, dup) = (args.output::<f32>(3), args.output::<f32>(4));
    let both = |g: v128, u: v128, d: v128| {
        let s = sigmoid(g);
        let silu = f32x4_mul(g, s);
        // silu' = s + silu · (1 − s)
        let slope = fma(silu, f32x4_sub(f32x4_splat(1.0), s), s);
        (f32x4_mul(f32x4_mul(d, u), slope), f32x4_mul(d, silu))
    };
    unsafe {
        let mut i = begin;
        while i + 4 <= end {
            let (dg, du) = both(load(gate.add(i)), load(up.add(i)), load(dout.add(i)));
            store(dgate.add(i), dg);
            store(dup.add(i), du);
            i += 4;
        }
        while i < end {
            let (dg, du) = both(splat(gate.add(i)), splat(up.add(i)), splat(dout.add(i)));
            *dgate.add(i) = f32x4_extract_lane::<0>(dg);
            *dup.add(i) = f32x4_extract_lane::<0>(du);
            i += 1;
        }
    }
}

/// AdamW in place. Arguments: parameter, m, v, gradient, address of the gradient's factor; 1 − lr·decay, β₁, 1 − β₁, β₂, 1 − β₂,
/// lr / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ), eps.
pub unsafe fn adamw(args: Args, begin: usize, end: usize, _thread: usize) {
    let (p, m, v) = (args.output::<f32>(0), args.output::<f32>(1), args.output::<f32>(2));
    let g = args.input::<f32>(3);
    let factor = unsafe { splat(args.input::<f32>(4)) };
    let word = |i: usize| f32x4_splat(args.scalar(i));
    let (keep, beta1, rest1, beta2, rest2) = (word(5), word(6), word(7), word(8), word(9));
    let (rate, root, eps) = (word(10), word(11), word(12));
    let step = |p: v128, m: v128, v: v128, g: v128| {
        let g = f32x4_mul(g, factor);
        let m = f32x4_add(f32x4_mul(m, beta1), f32x4_mul(g, rest1));
        let v = f32x4_add(f32x4_mul(v, beta2), f32x4_mul(f32x4_mul(g, g), rest2));
        let spread = f32x4_add(f32x4_mul(f32x4_sqrt(v), root), eps);
        (f32x4_sub(f32x4_mul(p, keep), f32x4_div(f32x4_mul(m, rate), spread)), m, v)
    };
    unsafe {
        let mut i = begin;
        while i + 4 <= end {
            let (a, b, c) = step(load(p.add(i)), load(m.add(i)), load(v.add(i)), load(g.add(i)));
            store(p.add(i), a);
            store(m.add(i), b);
            store(v.add(i), c);
            i += 4;
        }
        while i < end {
            let (a, b, c) = step(splat(p.add(i)), splat(m.add(i)), splat(v.add(i)), splat(g.add(i)));
            *p.add(i) = f32x4_extract_lane::<0>(a);
            *m.add(i) = f32x4_extract_lane::<0>(b);
            *v.add(i) = f32x4_extract_lane::<0>(c);
            i += 1;
        }
    }
}
