//! Kernels that move rows.

use crate::blocks::{BLOCK, Blocks, widen_blocks};
use crate::{by_blocks, by_dtype};
use crate::dtype::Element;
use crate::pool::Args;
use crate::simd::*;

/// Copies rows; items are rows. Arguments: source, its stride, target, its stride, bytes of a row; strides in bytes.
pub unsafe fn copy(args: Args, begin: usize, end: usize, _thread: usize) {
    let (source, from, target, to) = (args.input::<u8>(0), args.size(1), args.output::<u8>(2), args.size(3));
    let bytes = args.size(4);
    for row in begin..end {
        unsafe { core::ptr::copy(source.add(row * from), target.add(row * to), bytes) };
    }
}

/// Zero bytes. Arguments: target.
pub unsafe fn clear(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe { core::ptr::write_bytes(args.output::<u8>(0).add(begin), 0, end - begin) };
}

/// Rows of a table; items are rows of the result. Arguments: table, ids, out, rows of the table, H, dtype (3 = i32).
pub unsafe fn gather(args: Args, begin: usize, end: usize, _thread: usize) {
    unsafe {
        match args.size(5) {
            3 => gather_words(args, begin, end),
            code if code >= 5 => by_blocks!(code, gather_blocks(args, begin, end)),
            code => by_dtype!(code, gather_rows(args, begin, end)),
        }
    }
}

unsafe fn gather_blocks<B: Blocks>(args: Args, begin: usize, end: usize) {
    let (table, ids, out) = (args.input::<u8>(0), args.input::<i32>(1), args.output::<f32>(2));
    let (rows, n) = (args.size(3), args.size(4));
    for t in begin..end {
        unsafe {
            let id = *ids.add(t) as u32 as usize;
            let out = out.add(t * n);
            if id < rows {
                widen_blocks::<B>(table.add(id * (n / BLOCK * B::BYTES)), out, n / BLOCK);
            } else {
                core::ptr::write_bytes(out, 0, n);
            }
        }
    }
}

unsafe fn gather_words(args: Args, begin: usize, end: usize) {
    let (table, ids, out) = (args.input::<i32>(0), args.input::<i32>(1), args.output::<i32>(2));
    let (rows, n) = (args.size(3), args.size(4));
    for t in begin..end {
        unsafe {
            let id = *ids.add(t) as u32 as usize;
            if id < rows {
                core::ptr::copy_nonoverlapping(table.add(id * n), out.add(t * n), n);
            } else {
                core::ptr::write_bytes(out.add(t * n), 0, n);
            }
        }
    }
}

unsafe fn gather_rows<T: Element>(args: Args, begin: usize, end: usize) {
    let (table, ids, out) = (args.input::<T>(0), args.input::<i32>(1), args.output::<f32>(2));
    let (rows, n) = (args.size(3), args.size(4));
    for t in begin..end {
        unsafe {
            let id = *ids.add(t) as u32 as usize;
            let out = out.add(t * n);
            if id >= rows {
                core::ptr::write_bytes(out, 0, n);
                continue;
            }
            let row = table.add(id * n);
            let mut i = 0;
            while i + 4 <= n {
                store(out.add(i), T::load4(row.add(i)));
                i += 4;
            }
            while i < n {
                *out.add(i) = T::load1(row.add(i));
                i += 1;
            }
        }
    }
}

/// Adds rows to rows of a zeroed table; items are columns, so that no two threads meet. Arguments: x, ids, out, T, rows, H.
pub unsafe fn scatter_add(args: Args, begin: usize, end: usize, _thread: usize) {
    let (x, ids, out) = (args.input::<f32>(0), args.input::<i32>(1), args.output::<f32>(2));
    let (count, rows, n) = (args.size(3), args.size(4), args.size(5));
    for t in 0..count {
        unsafe {
            let id = *ids.add(t) as u32 as usize;
            if id < rows {
                for j in begin..end {
                    *out.add(id * n + j) += *x.add(t * n + j);
                }
            }
        }
    }
}
