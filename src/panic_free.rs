// SPDX-License-Identifier: GPL-2.0

//! Replacements of functions of the core and kernel crates that keep a panic in the module.
//!
//! A kernel may be configured to check arithmetic for overflow (`CONFIG_RUST_OVERFLOW_CHECKS`, the
//! default). A generic function of these crates is then compiled into this module with the checks,
//! and each check that the compiler cannot rule out is a reference to a panic.
//! `scripts/panics.py` accepts none.

use core::{
    iter::Zip,
    ops::Range, //
};
use kernel::{
    alloc::{
        Allocator,
        Vec, //
    },
    prelude::*, //
};

/// Iterates over `items` with their positions, like [`Iterator::enumerate`].
// `enumerate()` adds one for each item, which keeps a panic. A range ends before its counter could
// overflow.
#[inline]
pub(crate) fn indexed<I: IntoIterator>(items: I) -> Zip<Range<usize>, I::IntoIter> {
    (0..usize::MAX).zip(items)
}

/// Appends `item`, like [`Vec::push`]. For the capacity see [`reserve`]. May sleep.
///
/// Fails with `ENOMEM`. In this case `list` has not changed, and `item` is dropped.
pub(crate) fn push<T, A: Allocator>(list: &mut Vec<T, A>, item: T, first: usize) -> Result {
    reserve(list, 1, first)?;
    Ok(list.push_within_capacity(item)?)
}

/// Ensures capacity for `extra` more elements, like [`Vec::reserve`]. May sleep.
///
/// A list that is too small at least doubles its capacity, so that appending has constant amortized
/// cost, and gets a capacity of at least `first` elements. Fails with `ENOMEM`. In this case `list`
/// has not changed.
// `Vec::reserve` subtracts and multiplies capacities, which keeps a panic for each.
pub(crate) fn reserve<T, A: Allocator>(list: &mut Vec<T, A>, extra: usize, first: usize) -> Result {
    let needed = list.len().saturating_add(extra);
    if needed > list.capacity() {
        let doubled = list.capacity().saturating_mul(2);
        let mut larger = Vec::with_capacity(needed.max(doubled).max(first), GFP_KERNEL)?;
        // Never fails, as the elements fit.
        for item in core::mem::take(list) {
            larger.push_within_capacity(item)?;
        }
        *list = larger;
    }
    Ok(())
}

#[kunit_tests(damon_rs_panic_free)]
mod tests {
    use super::*;

    #[test]
    fn items_have_positions() {
        assert!(indexed(&[7, 8]).eq([(0, &7), (1, &8)]));
        assert!(indexed([0u8; 0]).next().is_none());
    }

    #[test]
    fn a_list_keeps_its_elements_when_it_grows() -> Result {
        let mut list = KVVec::new();
        for number in 0..1000u32 {
            push(&mut list, number, 0)?;
        }
        assert!(list.iter().copied().eq(0..1000));
        Ok(())
    }

    #[test]
    fn a_list_grows_by_half_of_its_new_capacity_or_more() -> Result {
        let mut list: KVec<u64> = KVec::new();
        reserve(&mut list, 0, 8)?;
        assert_eq!(list.capacity(), 0);
        push(&mut list, 1, 8)?;
        assert!(list.capacity() >= 8);
        let capacity = list.capacity();
        reserve(&mut list, capacity - 1, 8)?;
        assert_eq!(list.capacity(), capacity);
        reserve(&mut list, capacity, 8)?;
        assert!(list.capacity() >= 2 * capacity);
        reserve(&mut list, 1000, 8)?;
        assert!(list.capacity() > 1000);
        Ok(())
    }

    #[test]
    fn a_list_that_cannot_grow_is_kept() -> Result {
        let mut list: KVec<u64> = KVec::new();
        push(&mut list, 7, 0)?;
        assert_eq!(reserve(&mut list, usize::MAX, 0), Err(ENOMEM));
        assert_eq!(reserve(&mut list, usize::MAX / 2, 0), Err(ENOMEM));
        assert!(list.iter().eq(&[7]));
        Ok(())
    }
}
