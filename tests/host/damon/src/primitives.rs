// SPDX-License-Identifier: GPL-2.0

//! What threads are kept apart with.

pub(crate) use kernel::sync::Arc;
pub(crate) use std::sync::{
    Condvar,
    Mutex,
    MutexGuard, //
};

/// Whether the current thread was sent a signal. There are none in these tests.
pub(crate) fn signal_pending() -> bool {
    false
}
