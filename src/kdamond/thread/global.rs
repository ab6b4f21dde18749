// SPDX-License-Identifier: GPL-2.0

//! The registry of the loaded module, for kdamonds that other modules create.

use crate::kdamond::Registry;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        Arc, //
    },
};

kernel::sync::global_lock! {
    // SAFETY: `Shared::new` initializes the lock before it sets `READY`. The lock is only used
    // after `READY` was read as set, and by a `Shared`, which exists after that.
    unsafe(uninit) static REGISTRY: Mutex<Option<Arc<Registry>>> = None;
}

/// The lock is initialized, or is being initialized.
static BEGUN: Atomic<bool> = Atomic::new(false);
/// The lock is initialized.
static READY: Atomic<bool> = Atomic::new(false);

/// Owner of the registry of the module. Dropping it removes the registry.
pub(crate) struct Shared(());

impl Shared {
    /// Sets the registry of the module. Must be called once, when the module is loaded. Fails with
    /// `EBUSY` at another call. May sleep.
    pub(crate) fn new(registry: &Arc<Registry>) -> Result<Self> {
        if BEGUN.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: `BEGUN` is never reset, so this is the only call of `init()`.
        unsafe { REGISTRY.init() };
        READY.store(true, Release);
        *REGISTRY.lock() = Some(registry.clone());
        Ok(Self(()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let registry = REGISTRY.lock().take();
        drop(registry);
    }
}

/// Returns the registry of the module. Fails with `ENODEV` before the module is loaded and while it
/// is being unloaded. May sleep.
pub(crate) fn registry() -> Result<Arc<Registry>> {
    if !READY.load(Acquire) {
        return Err(ENODEV);
    }
    REGISTRY.lock().clone().ok_or(ENODEV)
}
