// SPDX-License-Identifier: GPL-2.0

//! Memory that goes offline while its pages are looked at.
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

/// While this exists, nothing becomes of the pages of memory that has gone offline before all RCU
/// read-side critical sections are over that may have seen it online.
///
/// # Invariants
///
/// The notifier is registered.
pub struct Watch {
    #[cfg(CONFIG_MEMORY_HOTPLUG)]
    notifier: KBox<Opaque<c::notifier_block>>,
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Watch {
    /// Begins. Sleeps while memory goes offline or comes online.
    pub fn new() -> Result<Self> {
        let notifier = c::notifier_block {
            notifier_call: Some(memory_changes),
            ..c::notifier_block::default()
        };
        let notifier = KBox::new(Opaque::new(notifier), GFP_KERNEL)?;
        // SAFETY: The notifier is filled in, and stays in its box until it is unregistered.
        to_result(unsafe { bindings::register_memory_notifier(notifier.get()) })?;
        // INVARIANT: It was just registered.
        Ok(Self { notifier })
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
impl Drop for Watch {
    fn drop(&mut self) {
        // Waits until nobody calls it.
        // SAFETY: By the type invariants it is registered, once.
        unsafe { bindings::unregister_memory_notifier(self.notifier.get()) };
    }
}

#[cfg(CONFIG_MEMORY_HOTPLUG)]
// SAFETY: Whoever registers the notifier, any thread may unregister it.
unsafe impl Send for Watch {}
#[cfg(CONFIG_MEMORY_HOTPLUG)]
// SAFETY: There is nothing that could be done with a reference.
unsafe impl Sync for Watch {}

/// Called by the kernel, which holds locks of memory hotplug, but none that a reader could wait for.
///
/// # Safety
///
/// None is needed: nothing is done with the arguments.
#[cfg(CONFIG_MEMORY_HOTPLUG)]
unsafe extern "C" fn memory_changes(
    _: *mut c::notifier_block,
    action: c_ulong,
    _: *mut c_void,
) -> c_int {
    const OFFLINE: c_ulong = bindings::memory_block_state_MEM_OFFLINE as c_ulong;
    const OK: c_int = c::NOTIFY_OK as c_int;
    // Its sections are marked. Who looks at them from now on sees that, and RCU tells when the
    // others are done.
    if action == OFFLINE {
        // SAFETY: Notifiers of memory may sleep.
        unsafe { c::synchronize_rcu() };
    }
    OK
}

/// Memory stays where it is.
#[cfg(not(CONFIG_MEMORY_HOTPLUG))]
impl Watch {
    /// Does not fail.
    pub fn new() -> Result<Self> {
        Ok(Self {})
    }
}
