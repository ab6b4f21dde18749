// SPDX-License-Identifier: GPL-2.0

//! The one way in which kdamonds and their callers share anything: a value behind a mutex, with a
//! condition to wait for.
//!
//! All that kdamonds and callers share is written against this type, so that a model checker can
//! put its own in its place and walk through the interleavings.
//!
//! No two of these locks are ever held together: they share a lock class, so lockdep reports the
//! first attempt.

use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        CondVar,
        Mutex, //
    },
};

/// What lockdep calls it. It wants a class to have one name, at one address: a constant would be at
/// another one in each module that has a monitor of a type of its own.
static NAME: &CStr = c"damon_monitor";

/// A value behind a mutex, with a condition to wait for.
#[pin_data]
pub(crate) struct Monitor<T> {
    #[pin]
    value: Mutex<T>,
    #[pin]
    changed: CondVar,
}

/// The value, locked.
pub(crate) type Locked<'a, T> = Guard<'a, T, MutexBackend>;

impl<T> Monitor<T> {
    /// Puts `value` behind a new mutex. Fails with `ENOMEM`.
    pub(crate) fn new(value: T) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                value <- Mutex::new(value, NAME, static_lock_class!()),
                changed <- CondVar::new(NAME, static_lock_class!()),
            }),
            GFP_KERNEL,
        )
    }

    /// Locks the value. May sleep.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.value.lock()
    }

    /// Gives the lock up, sleeps until notified, and takes it again. `true` if a signal is pending.
    ///
    /// May return without a notification.
    pub(crate) fn wait_interruptible(&self, locked: &mut Locked<'_, T>) -> bool {
        self.changed.wait_interruptible(locked)
    }

    /// As [`Self::wait_interruptible`], not to be disturbed by signals.
    pub(crate) fn wait(&self, locked: &mut Locked<'_, T>) {
        self.changed.wait(locked);
    }

    /// Wakes all who wait.
    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
