// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/sync.rs`, on the mutex and condition of the including crate's
//! `primitives`.

use crate::primitives::{
    signal_pending,
    Arc,
    Condvar,
    Mutex,
    MutexGuard, //
};
use kernel::prelude::*;
use std::ops::{
    Deref,
    DerefMut, //
};

/// A value behind a mutex, with a condition to wait for.
pub(crate) struct WaitMutex<T> {
    value: Mutex<T>,
    changed: Condvar,
}

/// The value, locked.
pub(crate) struct Locked<'a, T> {
    mutex: &'a Mutex<T>,
    /// Absent only while a method of [`WaitMutex`] has given the lock up.
    guard: Option<MutexGuard<'a, T>>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("locked")
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("locked")
    }
}

impl<T> WaitMutex<T> {
    /// Puts `value` behind a new mutex.
    pub(crate) fn new(value: T) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                value: Mutex::new(value),
                changed: Condvar::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Locks the value.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        Locked {
            mutex: &self.value,
            guard: Some(self.value.lock().expect("no thread has panicked")),
        }
    }

    /// Gives the lock up, sleeps until notified, and takes it again. `true` if a signal is pending.
    ///
    /// With a signal pending it does not sleep, but gives the lock up all the same.
    pub(crate) fn wait_interruptible(&self, locked: &mut Locked<'_, T>) -> bool {
        if signal_pending() {
            drop(locked.guard.take());
            locked.guard = Some(locked.mutex.lock().expect("no thread has panicked"));
            return true;
        }
        self.wait(locked);
        false
    }

    /// As [`Self::wait_interruptible`], not to be disturbed by signals.
    pub(crate) fn wait(&self, locked: &mut Locked<'_, T>) {
        let guard = locked.guard.take().expect("locked");
        locked.guard = Some(self.changed.wait(guard).expect("no thread has panicked"));
    }

    /// Wakes all who wait.
    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
