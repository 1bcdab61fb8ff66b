//! Compute kernels on the CPU: WebAssembly SIMD, spread over threads that share one memory.
//!
//! The hot path ([`pool`], [`memory`]) is plain exports, called with numbers only; wasm-bindgen starts threads (a stack and
//! thread-local memory for each) and serves the functions that take arrays.

#![cfg_attr(target_feature = "atomics", feature(stdarch_wasm_atomic_wait))]
#![allow(clippy::missing_safety_doc)]

mod blocks;
mod dtype;
mod kernels;
mod memory;
mod pool;
mod quantised;
mod simd;
mod table;
mod vocabulary;

use wasm_bindgen::prelude::*;

/// Names of the kernels in the order of their numbers, joined by commas.
#[wasm_bindgen]
pub fn kernel_names() -> String {
    let names: Vec<&str> = table::KERNELS.iter().map(|(name, _)| *name).collect();
    names.join(",")
}
