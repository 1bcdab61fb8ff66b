//! Memory of tensors: aligned to cache lines.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};

const ALIGN: usize = 64;

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, ALIGN).ok()
}

/// Address of new memory; 0 when there is none left. `bytes` must not be 0.
#[unsafe(no_mangle)]
pub extern "C" fn memory_take(bytes: usize, zeroed: u32) -> *mut u8 {
    let Some(layout) = layout(bytes) else { return core::ptr::null_mut() };
    unsafe { if zeroed != 0 { alloc_zeroed(layout) } else { alloc(layout) } }
}

/// Gives memory back, with the size it was taken with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memory_give(address: *mut u8, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        unsafe { dealloc(address, layout) };
    }
}
