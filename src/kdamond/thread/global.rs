// SPDX-License-Identifier: GPL-2.0

//! The one registry of the loaded module, for kdamonds that other modules make.

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
    // SAFETY: `Shared::new` initialises it before anything else is done with it.
    unsafe(uninit) static REGISTRY: Mutex<Option<Arc<Registry>>> = None;
}

/// Whether somebody has come to initialise the lock.
static BEGUN: Atomic<bool> = Atomic::new(false);
/// Whether the lock is initialised.
static READY: Atomic<bool> = Atomic::new(false);

/// Makes a registry the one of the module, as long as it lives.
pub(crate) struct Shared(());

impl Shared {
    /// To be called once, as the module is loaded. Fails with `EBUSY`.
    pub(crate) fn new(registry: &Arc<Registry>) -> Result<Self> {
        if BEGUN.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: Nobody was here before, and nobody comes here again.
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

/// The registry of the module. Fails with `ENODEV` before it is loaded and when it is being unloaded.
pub(crate) fn registry() -> Result<Arc<Registry>> {
    if !READY.load(Acquire) {
        return Err(ENODEV);
    }
    REGISTRY.lock().clone().ok_or(ENODEV)
}
