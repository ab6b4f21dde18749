// SPDX-License-Identifier: GPL-2.0

//! A memory hotplug notifier that makes offlining wait for readers of `struct page`.
//!
//! C header: [`include/linux/memory.h`](srctree/include/linux/memory.h)

use kernel::prelude::*;

#[cfg(CONFIG_MEMORY_HOTPLUG)]
use core::ffi::c_void;

#[cfg(CONFIG_MEMORY_HOTPLUG)]
use kernel::{
    bindings as c,
    error::to_result,
    ffi::{
        c_int,
        c_ulong, //
    },
    types::Opaque, //
};

#[cfg(CONFIG_MEMORY_HOTPLUG)]
use crate::bindings;

/// A registered memory hotplug notifier.
///
/// While it is registered, memory that has gone offline is neither removed from its zone nor freed
/// before all RCU read-side critical sections have ended that may have seen it online. See
/// `sections.rs`.
///
/// # Invariants
///
/// `notifier` is registered, once.
pub struct Watch {
    #[cfg(CONFIG_MEMORY_HOTPLUG)]
    notifier: KBox<Opaque<c::notifier_block>>,
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Watch {
    /// Registers the notifier. Fails with `ENOMEM`. Sleeps while memory goes online or offline.
    pub fn new() -> Result<Self> {
        let notifier = c::notifier_block {
            notifier_call: Some(memory_changes),
            ..c::notifier_block::default()
        };
        let notifier = KBox::new(Opaque::new(notifier), GFP_KERNEL)?;
        // SAFETY: `notifier` has a callback, its other fields are zero, and it is in a box that is
        // freed only after `drop` has unregistered it.
        to_result(unsafe { bindings::register_memory_notifier(notifier.get()) })?;
        // INVARIANT: `register_memory_notifier()` has succeeded.
        Ok(Self { notifier })
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the notifier is registered once. The call waits until no
        // callback runs, so the box may be freed after it.
        unsafe { bindings::unregister_memory_notifier(self.notifier.get()) };
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
// SAFETY: Any thread may unregister a notifier.
unsafe impl Send for Watch {}
#[cfg(CONFIG_MEMORY_HOTPLUG)]
// SAFETY: `Watch` has no method that takes a shared reference.
unsafe impl Sync for Watch {}

/// The callback of the notifier. Runs in process context with the locks of memory hotplug held, all
/// of which are sleeping locks. An RCU read-side critical section cannot wait for one of them.
///
/// # Safety
///
/// Always safe to call in process context: the pointers are not dereferenced.
#[cfg(CONFIG_MEMORY_HOTPLUG)]
unsafe extern "C" fn memory_changes(
    _: *mut c::notifier_block,
    action: c_ulong,
    _: *mut c_void,
) -> c_int {
    const OFFLINE: c_ulong = bindings::memory_block_state_MEM_OFFLINE as c_ulong;
    const OK: c_int = c::NOTIFY_OK as c_int;
    // The sections are marked offline already, so that new readers see it. The grace period covers
    // the readers that have seen them online.
    if action == OFFLINE {
        // SAFETY: Memory notifiers are a blocking notifier chain: the callback may sleep.
        unsafe { c::synchronize_rcu() };
    }
    OK
}

/// Without memory hotplug no memory goes offline.
#[cfg(not(CONFIG_MEMORY_HOTPLUG))]
impl Watch {
    /// Never fails.
    pub fn new() -> Result<Self> {
        Ok(Self {})
    }
}
