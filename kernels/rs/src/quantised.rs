//! Weights quantised in blocks, as ggml lays them out, widened to f32. A block has a scale (or two) of half precision, and
//! integers of few bits; in its "k" types a block of 256 has sub-blocks with scales of their own.

use crate::dtype::{Element, F16};

/// Half precision at a place in a block.
#[inline(always)]
fn half(block: &[u8], at: usize) -> f32 {
    let bits = F16(u16::from_le_bytes([block[at], block[at + 1]]));
    unsafe { F16::load1(&bits) }
}

/// 32 of 8 bits: d, then the integers.
#[inline(always)]
fn q8_0(block: &[u8; 34], to: &mut [f32; 32]) {
    let d = half(block, 0);
    for (y, q) in to.iter_mut().zip(&block[2..]) {
        *y = *q as i8 as f32 * d;
    }
}

/// 32 of 4 bits around 8: d, then the integers, the second half's in the upper bits.
#[inline(always)]
fn q4_0(block: &[u8; 18], to: &mut [f32; 32]) {
    let d = half(block, 0);
    let (low, high) = to.split_at_mut(16);
    for ((x, y), q) in low.iter_mut().zip(high).zip(&block[2..]) {
        *x = ((*q & 15) as i32 - 8) as f32 * d;
        *y = ((*q >> 4) as i32 - 8) as f32 * d;
    }
}

/// 32 of 4 bits: d, the least value, then the integers, the second half's in the upper bits.
#[inline(always)]
fn q4_1(block: &[u8; 20], to: &mut [f32; 32]) {
    let (d, least) = (half(block, 0), half(block, 2));
    let (low, high) = to.split_at_mut(16);
    for ((x, y), q) in low.iter_mut().zip(high).zip(&block[4..]) {
        *x = (*q & 15) as i32 as f32 * d + least;
        *y = (*q >> 4) as i32 as f32 * d + least;
    }
}

/// Scale and minimum of sub-block `j` of 8, 6 bits each, out of 12 bytes.
#[inline(always)]
fn scale_min(s: &[u8], j: usize) -> (f32, f32) {
    let (scale, least) = if j < 4 {
        (s[j] & 63, s[j + 4] & 63)
    } else {
        ((s[j + 4] & 15) | (s[j - 4] >> 6 << 4), (s[j + 4] >> 4) | (s[j] >> 6 << 4))
    };
    (scale as f32, least as f32)
}

/// 256 of 4 bits in 8 sub-blocks: d, d of the minima, 12 bytes of scales and minima, the integers.
#[inline(always)]
fn q4_k(block: &[u8; 144], to: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (pair, (y, qs)) in to.chunks_exact_mut(64).zip(block[16..].chunks_exact(32)).enumerate() {
        let (s1, m1) = scale_min(&block[4..16], 2 * pair);
        let (s2, m2) = scale_min(&block[4..16], 2 * pair + 1);
        let (d1, least1, d2, least2) = (d * s1, dmin * m1, d * s2, dmin * m2);
        let (low, high) = y.split_at_mut(32);
        for ((x, y), q) in low.iter_mut().zip(high).zip(qs) {
            *x = d1 * (*q & 15) as i32 as f32 - least1;
            *y = d2 * (*q >> 4) as i32 as f32 - least2;
        }
    }
}

/// 256 of 5 bits in 8 sub-blocks: as `q4_k`, with 32 bytes of fifth bits before the integers.
#[inline(always)]
fn q5_k(block: &[u8; 176], to: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    let fifth = &block[16..48];
    for (pair, (y, qs)) in to.chunks_exact_mut(64).zip(block[48..].chunks_exact(32)).enumerate() {
        let (s1, m1) = scale_min(&block[4..16], 2 * pair);
        let (s2, m2) = scale_min(&block[4..16], 2 * pair + 1);
        let (d1, least1, d2, least2) = (d * s1, dmin * m1, d * s2, dmin * m2);
        let (low, high) = y.split_at_mut(32);
        for (((x, y), q), h) in low.iter_mut().zip(high).zip(qs).zip(fifth) {
            let bits = *h >> (2 * pair);
            *x = d1 * ((*q & 15) | (bits & 1) << 4) as i32 as f32 - least1;
            *y = d2 * ((*q >> 4) | (bits & 2) << 3) as i32 as f32 - least2;
        }
    }
}

/// 256 of 6 bits around 32 in 16 sub-blocks: lower 4 bits, upper 2 bits, scales of 8 bits, d.
#[inline(always)]
fn q6_k(block: &[u8; 210], to: &mut [f32; 256]) {
    let d = half(block, 208);
    for (part, y) in to.chunks_exact_mut(128).enumerate() {
        let (lower, upper) = (&block[64 * part..][..64], &block[128 + 32 * part..][..32]);
        let scales = &block[192 + 8 * part..][..8];
        // Quarter k: lower bits from the first or second 32 bytes, in their lower or upper half; bits 2k of the others.
        for (k, quarter) in y.chunks_exact_mut(32).enumerate() {
            let (bytes, shift) = (&lower[32 * (k & 1)..][..32], 4 * (k >> 1));
            for (i, sub) in quarter.chunks_exact_mut(16).enumerate() {
                let scale = d * (scales[2 * k + i] as i8) as f32;
                for ((y, l), h) in sub.iter_mut().zip(&bytes[16 * i..]).zip(&upper[16 * i..]) {
                    let q = ((*l >> shift) & 15) | ((*h >> (2 * k)) & 3) << 4;
                    *y = scale * (q as i32 - 32) as f32;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn each<const B: usize, const N: usize>(
    (from, to, blocks): (*const u8, *mut f32, usize),
    widen: impl Fn(&[u8; B], &mut [f32; N]),
) {
    for i in 0..blocks {
        unsafe { widen(&*(from.add(i * B) as *const [u8; B]), &mut *(to.add(i * N) as *mut [f32; N])) }
    }
}

/// Widens `blocks` whole blocks of a type, by the type's number in ggml. Gives 1, or 0 for a type that is not known here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dequantise(kind: u32, from: *const u8, to: *mut f32, blocks: usize) -> u32 {
    let work = (from, to, blocks);
    unsafe {
        match kind {
            2 => each(work, q4_0),
            3 => each(work, q4_1),
            8 => each(work, q8_0),
            12 => each(work, q4_k),
            13 => each(work, q5_k),
            14 => each(work, q6_k),
            _ => return 0,
        }
    }
    1
}
