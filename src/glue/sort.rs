// SPDX-License-Identifier: GPL-2.0

//! Sorting. The sort functions of `core` can panic.
//!
//! C header: [`include/linux/sort.h`](srctree/include/linux/sort.h)

use crate::bindings;
use core::{
    cmp::Ordering,
    ffi::c_void, //
};
use kernel::{
    ffi::c_int,
    prelude::*, //
};

/// The comparison function for elements of type `T`.
///
/// # Safety
///
/// Both pointers must point to a valid `T`.
unsafe extern "C" fn compare<T: Ord>(left: *const c_void, right: *const c_void) -> c_int {
    // SAFETY: By the safety requirements of this function both pointers point to a valid `T`.
    let order = unsafe { (*left.cast::<T>()).cmp(&*right.cast::<T>()) };
    match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// Sorts in ascending order by the kernel's heapsort, in place.
///
/// May sleep. Equal elements may change their order.
pub fn sort<T: Ord + Copy>(items: &mut [T]) {
    // SAFETY: `items` is an array of elements of the given number and size, which
    // `sort_nonatomic()` compares and exchanges byte by byte. `T: Copy` allows that: an element is
    // its bytes. It calls `compare` with pointers to elements only.
    unsafe {
        bindings::sort_nonatomic(
            items.as_mut_ptr().cast(),
            items.len(),
            size_of::<T>(),
            Some(compare::<T>),
            None,
        )
    };
}

#[kunit_tests(damon_rs_sort)]
mod tests {
    use super::sort;

    #[test]
    fn sorts_any_order() {
        let mut items = [
            (3i64, 1u64),
            (-2, 9),
            (3, 0),
            (i64::MIN, 5),
            (i64::MAX, 5),
            (0, 0),
        ];
        sort(&mut items);
        assert_eq!(
            items,
            [
                (i64::MIN, 5),
                (-2, 9),
                (0, 0),
                (3, 0),
                (3, 1),
                (i64::MAX, 5)
            ]
        );
        let mut none: [u8; 0] = [];
        sort(&mut none);
        let mut many: [u32; 500] =
            core::array::from_fn(|at| (at as u32).wrapping_mul(2_654_435_761));
        sort(&mut many);
        assert!(many.is_sorted());
    }
}
