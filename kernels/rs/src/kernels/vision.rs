//! What vision towers have and language models lack: LayerNorm and GELU.

use crate::pool::Args;
use crate::simd::exp1;

/// LayerNorm; items are rows. Arguments: x, weight, bias, out, N, eps.
pub unsafe fn layernorm(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, weight, bias) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (out, n, eps) = (args.output::<f32>(3), args.size(4), args.scalar(5));
    for row in begin..end {
        unsafe {
            let x = core::slice::from_raw_parts(x.add(row * n), n);
            let out = core::slice::from_raw_parts_mut(out.add(row * n), n);
            let mean = x.iter().map(|v| *v as f64).sum::<f64>() / n as f64;
            let spread = x.iter().map(|v| (*v as f64 - mean) * (*v as f64 - mean)).sum::<f64>() / n as f64;
            let factor = 1.0 / (spread + eps as f64).sqrt();
            for (i, (y, v)) in out.iter_mut().zip(x).enumerate() {
                *y = (*weight.add(i)).mul_add(((*v as f64 - mean) * factor) as f32, *bias.add(i));
            }
        }
    }
}

/// `x · Φ(x)`, or its form with tanh; items are entries. Arguments: x, out, tanh.
pub unsafe fn gelu(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, out, tanh) = (args.input::<f32>(0), args.output::<f32>(1), args.flag(2));
    for i in begin..end {
        unsafe {
            let v = *x.add(i);
            *out.add(i) = if tanh {
                // tanh(y) = 2σ(2y) − 1
                v / (1.0 + exp1(-1.595_769_1 * (v + 0.044_715 * v * v * v)))
            } else {
                let tail = v * half_erfc(v.abs());
                if v >= 0.0 { v - tail } else { tail }
            };
        }
    }
}

/// `erfc(x / √2) / 2` for x ≥ 0, within 1e-7: Abramowitz and Stegun 1964, formula 7.1.26.
fn half_erfc(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * core::f32::consts::FRAC_1_SQRT_2 * x);
    let p = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    0.5 * p * exp1(-0.5 * x * x)
}
