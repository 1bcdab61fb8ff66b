//! Kernels that work row by row: norms, rotation, distillation loss, argmax, sums.

use crate::pool::Args;
use crate::simd::*;
use core::arch::wasm32::*;

/// RMSNorm; items are runs of N entries. Arguments: x, weight, out, N, eps.
pub unsafe fn rmsnorm(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, weight, out) = (args.input::<f32>(0), args.input::<f32>(1), args.output::<f32>(2));
    let (n, eps) = (args.size(3), args.scalar(4));
    for run in begin..end {
        unsafe {
            let (x, out) = (x.add(run * n), out.add(run * n));
            let factor = inverse_rms(x, n, eps) as f32;
            let f = f32x4_splat(factor);
            let mut i = 0;
            while i + 4 <= n {
                store(out.add(i), f32x4_mul(load(weight.add(i)), f32x4_mul(load(x.add(i)), f)));
                i += 4;
            }
            while i < n {
                *out.add(i) = *weight.add(i) * (*x.add(i) * factor);
                i += 1;
            }
        }
    }
}

/// Entries past the last whole vector are summed in f64: where a row is that short, gradients are differences of almost
/// equal numbers.
#[inline(always)]
unsafe fn inverse_rms(x: *const f32, n: usize, eps: f32) -> f64 {
    unsafe {
        let (mut a, mut b) = (ZERO, ZERO);
        let mut i = 0;
        while i + 8 <= n {
            let (u, v) = (load(x.add(i)), load(x.add(i + 4)));
            (a, b) = (fma(u, u, a), fma(v, v, b));
            i += 8;
        }
        let mut total = sum(f32x4_add(a, b)) as f64;
        while i < n {
            total += *x.add(i) as f64 * *x.add(i) as f64;
            i += 1;
        }
        1.0 / (total / n as f64 + eps as f64).sqrt()
    }
}

/// Gradients of RMSNorm; items are shares of the runs, each with a sum of its own for the weight.
///
/// Arguments: x, weight, dout, dx, sums `[shares, N]`, N, eps, runs, shares.
pub unsafe fn rmsnorm_grad(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, weight, dout) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (dx, sums) = (args.output::<f32>(3), args.output::<f32>(4));
    let (n, eps, runs, shares) = (args.size(5), args.scalar(6), args.size(7), args.size(8));
    for share in begin..end {
        unsafe {
            let dweight = sums.add(share * n);
            core::ptr::write_bytes(dweight, 0, n);
            for run in runs * share / shares..runs * (share + 1) / shares {
                let (x, d, dx) = (x.add(run * n), dout.add(run * n), dx.add(run * n));
                let r = inverse_rms(x, n, eps);
                // with y = x·r: dx = r·(w·d − y · mean(w·d·y)), dweight = Σ d·y
                let mut acc = ZERO;
                let mut i = 0;
                while i + 4 <= n {
                    acc = fma(f32x4_mul(load(weight.add(i)), load(d.add(i))), load(x.add(i)), acc);
                    i += 4;
                }
                let mut total = sum(acc) as f64;
                while i < n {
                    total += *weight.add(i) as f64 * *d.add(i) as f64 * *x.add(i) as f64;
                    i += 1;
                }
                let back = total * r * r / n as f64;
                let (rv, bv) = (f32x4_splat(r as f32), f32x4_splat(back as f32));
                let mut i = 0;
                while i + 4 <= n {
                    let (xi, di) = (load(x.add(i)), load(d.add(i)));
                    let wd = f32x4_mul(load(weight.add(i)), di);
                    store(dx.add(i), f32x4_mul(rv, f32x4_sub(wd, f32x4_mul(xi, bv))));
                    store(dweight.add(i), fma(di, f32x4_mul(xi, rv), load(dweight.add(i))));
                    i += 4;
                }
                while i < n {
                    let (xi, di) = (*x.add(i) as f64, *d.add(i) as f64);
                    *dx.add(i) = (r * (*weight.add(i) as f64 * di - xi * back)) as f32;
                    *dweight.add(i) += (di * xi * r) as f32;
                    i += 1;
                }
            }
        }
    }
}

/// Rotary embedding; items are rows. Arguments: x, cos, sin, positions, out, heads, dim, rows of the tables, inverse.
pub unsafe fn rope(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, cos, sin) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (positions, out) = (args.input::<i32>(3), args.output::<f32>(4));
    let (heads, dim, table, inverse) = (args.size(5), args.size(6), args.size(7), args.flag(8));
    let half = dim / 2;
    let sign = if inverse { -1.0 } else { 1.0 };
    let signs = f32x4_splat(sign);
    for row in begin..end {
        unsafe {
            let position = (*positions.add(row)).clamp(0, table.max(1) as i32 - 1) as usize;
            let (cos, sin) = (cos.add(position * half), sin.add(position * half));
            for head in 0..heads {
                let at = (row * heads + head) * dim;
                let (a, b) = (x.add(at), x.add(at + half));
                let (out_a, out_b) = (out.add(at), out.add(at + half));
                let mut i = 0;
                while i + 4 <= half {
                    let (c, s) = (load(cos.add(i)), f32x4_mul(load(sin.add(i)), signs));
                    let (p, q) = (load(a.add(i)), load(b.add(i)));
                    store(out_a.add(i), f32x4_sub(f32x4_mul(p, c), f32x4_mul(q, s)));
                    store(out_b.add(i), f32x4_add(f32x4_mul(q, c), f32x4_mul(p, s)));
                    i += 4;
                }
                while i < half {
                    let (c, s) = (*cos.add(i), *sin.add(i) * sign);
                    let (p, q) = (*a.add(i), *b.add(i));
                    *out_a.add(i) = p * c - q * s;
                    *out_b.add(i) = q * c + p * s;
                    i += 1;
                }
            }
        }
    }
}

/// Entries summed in f32 before they join a sum in f64.
pub const CHUNK: usize = 256;

/// Largest entry, and the sum of `e^(x − largest)`.
pub unsafe fn normaliser(x: *const f32, n: usize) -> (f32, f32) {
    unsafe {
        let most = max_of(x, n, f32::NEG_INFINITY);
        let m = f32x4_splat(most);
        let mut total = 0f64;
        let mut from = 0;
        while from < n {
            let to = n.min(from + CHUNK);
            let mut acc = ZERO;
            let mut i = from;
            while i + 4 <= to {
                acc = f32x4_add(acc, exp(f32x4_sub(load(x.add(i)), m)));
                i += 4;
            }
            total += sum(acc) as f64;
            while i < to {
                total += exp1(*x.add(i) - most) as f64;
                i += 1;
            }
            from = to;
        }
        (most, total as f32)
    }
}

/// KL divergence of rows and its gradient; items are rows. Arguments: logits, targets, weights, loss, dlogits, V.
pub unsafe fn kl(args: Args, begin: usize, end: usize, _thread: usize) {
    let (logits, targets, weights) = (args.input::<f32>(0), args.input::<f32>(1), args.input::<f32>(2));
    let (loss, dlogits, n) = (args.output::<f32>(3), args.output::<f32>(4), args.size(5));
    for row in begin..end {
        unsafe {
            let (x, y, dx) = (logits.add(row * n), targets.add(row * n), dlogits.add(row * n));
            let weight = *weights.add(row);
            if weight == 0.0 || n == 0 {
                core::ptr::write_bytes(dx, 0, n);
                *loss.add(row) = 0.0;
                continue;
            }
            let (most_x, total_x) = normaliser(x, n);
            let (most_y, total_y) = normaliser(y, n);
            let (log_x, log_y) = (total_x.ln(), total_y.ln());
            let (fx, fy) = (weight / total_x, weight / total_y);
            // log p − log q = (y − most_y) − (x − most_x) + (log_x − log_y)
            let apart = log_x - log_y;
            let (mx, my, between) = (f32x4_splat(most_x), f32x4_splat(most_y), f32x4_splat(apart));
            let (gx, gy) = (f32x4_splat(fx), f32x4_splat(fy));
            let mut total = 0f64;
            let mut from = 0;
            while from < n {
                let to = n.min(from + CHUNK);
                let mut acc = ZERO;
                let mut i = from;
                while i + 4 <= to {
                    let (u, v) = (f32x4_sub(load(x.add(i)), mx), f32x4_sub(load(y.add(i)), my));
                    let p = f32x4_mul(exp(v), gy);
                    acc = fma(p, f32x4_add(f32x4_sub(v, u), between), acc);
                    store(dx.add(i), f32x4_sub(f32x4_mul(exp(u), gx), p));
                    i += 4;
                }
                total += sum(acc) as f64;
                while i < to {
                    let (u, v) = (*x.add(i) - most_x, *y.add(i) - most_y);
                    let p = exp1(v) * fy;
                    total += (p * (v - u + apart)) as f64;
                    *dx.add(i) = exp1(u) * fx - p;
                    i += 1;
                }
                from = to;
            }
            *loss.add(row) = total as f32;
        }
    }
}

/// Index of the largest entry, the lowest of equals; items are rows. Arguments: x, out, V.
pub unsafe fn argmax(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, out, n) = (args.input::<f32>(0), args.output::<i32>(1), args.size(2));
    for row in begin..end {
        unsafe {
            let x = x.add(row * n);
            let most = max_of(x, n, f32::NEG_INFINITY);
            let wanted = f32x4_splat(most);
            let mut i = 0;
            while i + 4 <= n && !v128_any_true(f32x4_eq(load(x.add(i)), wanted)) {
                i += 4;
            }
            while i < n && *x.add(i) != most {
                i += 1;
            }
            *out.add(row) = if i < n { i as i32 } else { 0 };
        }
    }
}

/// Sums of blocks of entries or of their squares; items are blocks. Arguments: x, sums f64, entries, block, square.
pub unsafe fn block_sums(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, sums) = (args.input::<f32>(0), args.output::<f64>(1));
    let (n, block, square) = (args.size(2), args.size(3), args.flag(4));
    for item in begin..end {
        let mut total = 0f64;
        let last = n.min((item + 1) * block);
        let mut from = item * block;
        while from < last {
            let to = last.min(from + CHUNK);
            let mut acc = ZERO;
            let mut i = from;
            unsafe {
                while i + 4 <= to {
                    let v = load(x.add(i));
                    acc = if square { fma(v, v, acc) } else { f32x4_add(acc, v) };
                    i += 4;
                }
                total += sum(acc) as f64;
                while i < to {
                    let v = *x.add(i);
                    total += if square { v * v } else { v } as f64;
                    i += 1;
                }
            }
            from = to;
        }
        unsafe { *sums.add(item) = total };
    }
}

/// The sum of sums; one item. Arguments: sums f64, out, how many.
pub unsafe fn total(args: Args, _begin: usize, _end: usize, _thread: usize) {
    let (sums, out, n) = (args.input::<f64>(0), args.output::<f32>(1), args.size(2));
    let mut total = 0f64;
    for i in 0..n {
        total += unsafe { *sums.add(i) };
    }
    unsafe { *out = total as f32 };
}

/// Sums of columns; items are columns, best in blocks of sixteen. Arguments: x, out, rows, N.
pub unsafe fn column_sums(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, out, rows, n) = (args.input::<f32>(0), args.output::<f32>(1), args.size(2), args.size(3));
    let mut j = begin;
    unsafe {
        while j + 4 <= end {
            let mut total = [0f64; 4];
            let mut from = 0;
            while from < rows {
                let to = rows.min(from + CHUNK);
                let mut acc = ZERO;
                for i in from..to {
                    acc = f32x4_add(acc, load(x.add(i * n + j)));
                }
                total[0] += f32x4_extract_lane::<0>(acc) as f64;
                total[1] += f32x4_extract_lane::<1>(acc) as f64;
                total[2] += f32x4_extract_lane::<2>(acc) as f64;
                total[3] += f32x4_extract_lane::<3>(acc) as f64;
                from = to;
            }
            for (i, total) in total.into_iter().enumerate() {
                *out.add(j + i) = total as f32;
            }
            j += 4;
        }
        while j < end {
            let mut total = 0f64;
            for i in 0..rows {
                total += *x.add(i * n + j) as f64;
            }
            *out.add(j) = total as f32;
            j += 1;
        }
    }
}
