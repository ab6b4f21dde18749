// SPDX-License-Identifier: GPL-2.0

//! Tells lockdep who waits for a kdamond, and what a kdamond waits for itself.
//!
//! A kdamond at work is a lock that it holds. To wait for a kdamond is to take that lock, as far as
//! the order of locks is concerned: whoever holds, while it waits, what a kdamond takes at any time,
//! is reported, whether or not the two ever meet. Costs nothing without lockdep.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

use core::marker::PhantomData;
#[cfg(CONFIG_LOCKDEP)]
use core::{
    cell::UnsafeCell,
    ptr, //
};
#[cfg(CONFIG_LOCKDEP)]
use kernel::bindings;

/// The lock that there is not.
#[cfg(CONFIG_LOCKDEP)]
#[repr(transparent)]
struct Map(UnsafeCell<bindings::lockdep_map>);

#[cfg(CONFIG_LOCKDEP)]
// SAFETY: Nothing but lockdep accesses what is inside, and it has locks of its own.
unsafe impl Sync for Map {}

// As `STATIC_LOCKDEP_MAP_INIT` has it: a static map is its own key.
#[cfg(CONFIG_LOCKDEP)]
static MAP: Map = Map(UnsafeCell::new(bindings::lockdep_map {
    key: (&raw const MAP).cast_mut().cast(),
    name: c"damon_kdamond_at_work".to_bytes_with_nul().as_ptr(),
    // SAFETY: All others are pointers and integers, for which zero is what a static map starts with.
    ..unsafe { core::mem::zeroed() }
}));

/// To be called before waiting for what only a kdamond does: an answer, a closed mailbox, its end.
pub(crate) fn for_a_kdamond() {
    #[cfg(CONFIG_LOCKDEP)]
    // SAFETY: The map is static and initialised. It is not held on return.
    unsafe {
        bindings::lock_sync(MAP.0.get(), 0, 0, 1, ptr::null_mut(), here());
    }
}

/// A kdamond at work. Not to be sent to another thread.
pub(crate) struct Working(PhantomData<*mut ()>);

impl Working {
    /// The current thread is a kdamond from now on.
    pub(crate) fn begin() -> Self {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: The map is static and initialised. Dropping the result, which stays in this
        // thread, gives it up.
        unsafe {
            bindings::lock_acquire(MAP.0.get(), 0, 0, 0, 1, ptr::null_mut(), here());
        }
        Self(PhantomData)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: Acquired by `begin` in this thread.
        unsafe {
            bindings::lock_release(MAP.0.get(), here());
        }
    }
}

/// Where in the code a report says that it happened.
#[cfg(CONFIG_LOCKDEP)]
fn here() -> usize {
    for_a_kdamond as fn() as usize
}
