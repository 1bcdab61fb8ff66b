//! Names of the kernels, as the ops' `wasm.ts` launch them.

use crate::kernels::{attention, attention_grad, entries, losses, matmul, moves, paged, rows};
use crate::pool::Kernel;

pub static KERNELS: &[(&str, Kernel)] = &[
    ("matmul_pack", matmul::pack),
    ("matmul_tiles", matmul::tiles),
    ("matmul_rows", matmul::rows),
    ("linears_rows", matmul::linears),
    ("attention", attention::forward),
    ("attention_grad", attention_grad::backward),
    ("merge", attention_grad::merge),
    ("paged_attention", paged::forward),
    ("paged_write", paged::write),
    ("paged_keep", paged::keep),
    ("rmsnorm", rows::rmsnorm),
    ("rmsnorm_grad", rows::rmsnorm_grad),
    ("rope", rows::rope),
    ("kl_rows", rows::kl),
    ("loss_rows", losses::losses),
    ("argmax", rows::argmax),
    ("top_k", paged::top_k),
    ("block_sums", rows::block_sums),
    ("total", rows::total),
    ("column_sums", rows::column_sums),
    ("add", entries::add),
    ("mul", entries::mul),
    ("expand", entries::expand),
    ("cast", entries::cast),
    ("swiglu", entries::swiglu),
    ("swiglu_grad", entries::swiglu_grad),
    ("adamw", entries::adamw),
    ("copy", moves::copy),
    ("clear", moves::clear),
    ("gather", moves::gather),
    ("scatter_add", moves::scatter_add),
];
