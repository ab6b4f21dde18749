// SPDX-License-Identifier: GPL-2.0

//! What the checker sees of the threads.

pub(crate) use loom::sync::{
    Condvar,
    Mutex,
    MutexGuard, //
};
use stand_in::alloc::{
    AllocError,
    Flags, //
};
use std::cell::Cell;

/// A reference to a value that lives as long as any. The checker finds those that are never
/// dropped.
pub(crate) struct Arc<T>(loom::sync::Arc<T>);

impl<T> Arc<T> {
    /// The first reference to a value.
    pub(crate) fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(loom::sync::Arc::new(value)))
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::ops::Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

loom::thread_local! {
    static SIGNALLED: Cell<bool> = Cell::new(false);
}

/// Sends the current thread a signal.
pub(crate) fn signal() {
    SIGNALLED.with(|signalled| signalled.set(true));
}

/// Whether the current thread was sent a signal.
pub(crate) fn signal_pending() -> bool {
    SIGNALLED.with(Cell::get)
}
