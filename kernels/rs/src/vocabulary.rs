//! Which tokens a draft keeps: those trained on most often.

use wasm_bindgen::prelude::*;

/// The `draft` ids to keep, ascending: by count descending, then by id ascending; if too few were observed, the smallest ids
/// not yet taken.
#[wasm_bindgen]
pub fn select_vocabulary(ids: &[i32], counts: &[i64], draft: usize) -> Vec<i32> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|&i| (core::cmp::Reverse(counts[i]), ids[i]));
    order.truncate(draft);
    let mut selected: Vec<i32> = order.into_iter().map(|i| ids[i]).collect();
    if selected.len() < draft {
        let mut taken = vec![false; draft];
        for &id in &selected {
            if let Some(slot) = taken.get_mut(id as usize) {
                *slot = true;
            }
        }
        let missing = draft - selected.len();
        selected.extend((0..draft as i32).filter(|&id| !taken[id as usize]).take(missing));
    }
    selected.sort_unstable();
    selected
}
