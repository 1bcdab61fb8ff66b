//! The kernels. Each takes addresses and sizes that the op's `wasm.ts` has made of tensors the backend checked.

pub mod attention;
pub mod attention_grad;
pub mod dots;
pub mod entries;
pub mod experts;
pub mod losses;
pub mod matmul;
pub mod moves;
pub mod paged;
pub mod rows;
pub mod vision;
