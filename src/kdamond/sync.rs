// SPDX-License-Identifier: GPL-2.0

//! The only kind of state that kdamonds and their callers share: a value protected by a mutex, with
//! a condition variable.
//!
//! All shared state uses this type. A model checker can therefore replace it with its own, and
//! explore the interleavings.
//!
//! No two of these locks are ever held at the same time. They are of one lock class, so lockdep
//! reports the first attempt.
//!
//! ```ignore
//! let ended = WaitMutex::new(false)?;
//! // The thread that waits:
//! let mut locked = ended.lock();
//! while !*locked {
//!     if ended.wait_interruptible(&mut locked) {
//!         return Err(EINTR);
//!     }
//! }
//! // Another thread:
//! *ended.lock() = true;
//! ended.notify_all();
//! ```

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

/// Name of the lock classes. Lockdep requires that a class has one name at one address. A constant
/// would have another address in each kernel module that uses a [`WaitMutex`] of a type of its own.
static NAME: &CStr = c"damon_wait_mutex";

/// A value protected by a mutex, with a condition variable.
#[pin_data]
pub(crate) struct WaitMutex<T> {
    #[pin]
    value: Mutex<T>,
    #[pin]
    changed: CondVar,
}

/// A guard with access to the value.
pub(crate) type Locked<'a, T> = Guard<'a, T, MutexBackend>;

impl<T> WaitMutex<T> {
    /// Creates a new mutex around `value`. Fails with `ENOMEM`.
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

    /// Releases the lock, sleeps until a notification, and acquires the lock again. Returns `true`
    /// if a signal is pending.
    ///
    /// May return without a notification.
    pub(crate) fn wait_interruptible(&self, locked: &mut Locked<'_, T>) -> bool {
        self.changed.wait_interruptible(locked)
    }

    /// Like [`Self::wait_interruptible`], but not interrupted by signals.
    pub(crate) fn wait(&self, locked: &mut Locked<'_, T>) {
        self.changed.wait(locked);
    }

    /// Wakes up all waiting threads.
    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
