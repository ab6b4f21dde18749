// SPDX-License-Identifier: GPL-2.0

//! Lockdep annotations: waiting for a kdamond, and the work of a kdamond.
//!
//! A kdamond at work is modeled as a lock that the kdamond holds, and waiting for a kdamond as
//! taking that lock. Lockdep then reports a thread that waits for a kdamond with a lock held that a
//! kdamond takes at any time, whether or not the two ever meet. Without lockdep this costs nothing.
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

/// A lockdep map without a lock.
#[cfg(CONFIG_LOCKDEP)]
#[repr(transparent)]
struct Map(UnsafeCell<bindings::lockdep_map>);

#[cfg(CONFIG_LOCKDEP)]
// SAFETY: The map is only accessed by lockdep, which allows for any number of threads that use a
// map at the same time.
unsafe impl Sync for Map {}

// As in `STATIC_LOCKDEP_MAP_INIT`, a static map is its own key.
#[cfg(CONFIG_LOCKDEP)]
static MAP: Map = Map(UnsafeCell::new(bindings::lockdep_map {
    key: (&raw const MAP).cast_mut().cast(),
    name: c"damon_kdamond_at_work".to_bytes_with_nul().as_ptr(),
    // SAFETY: The other fields are pointers and integers, for which zero is a valid value.
    // `STATIC_LOCKDEP_MAP_INIT` initializes them with zero as well.
    ..unsafe { core::mem::zeroed() }
}));

/// Must be called before waiting for something that only a kdamond does: a reply, the end of a run,
/// the return of the thread.
pub(crate) fn for_a_kdamond() {
    #[cfg(CONFIG_LOCKDEP)]
    // SAFETY: The map is static and initialized. `lock_sync()` does not keep it acquired.
    unsafe {
        bindings::lock_sync(MAP.0.get(), 0, 0, 1, ptr::null_mut(), here());
    }
}

/// A kdamond at work. It is not [`Send`], because it is released by the thread that acquired it.
pub(crate) struct Working(PhantomData<*mut ()>);

impl Working {
    /// Marks the current thread as a kdamond until the result is dropped.
    pub(crate) fn begin() -> Self {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: The map is static and initialized. It is released by this thread when the result,
        // which is not `Send`, is dropped.
        unsafe {
            bindings::lock_acquire(MAP.0.get(), 0, 0, 0, 1, ptr::null_mut(), here());
        }
        Self(PhantomData)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: The map was acquired by `begin`, which is the only constructor, and in this
        // thread, as `Working` is not `Send`.
        unsafe {
            bindings::lock_release(MAP.0.get(), here());
        }
    }
}

/// Returns the code address that lockdep reports.
#[cfg(CONFIG_LOCKDEP)]
fn here() -> usize {
    for_a_kdamond as fn() as usize
}
