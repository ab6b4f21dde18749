// SPDX-License-Identifier: GPL-2.0

//! Allocation failures on purpose, for the calling thread.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
    static FAIL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `f` with its allocation number `fail` failing, counted from zero, or none for `None`.
/// Returns its result, and how many allocations it has tried.
pub fn with_failure<T>(fail: Option<u64>, f: impl FnOnce() -> T) -> (T, u64) {
    DONE.set(0);
    FAIL.set(fail);
    let result = f();
    FAIL.set(None);
    (result, DONE.get())
}

/// Notes an allocation; tells whether it may succeed.
pub(crate) fn allocation() -> bool {
    let number = DONE.get();
    DONE.set(number + 1);
    FAIL.get() != Some(number)
}
