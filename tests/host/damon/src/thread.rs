// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread.rs`.

pub(crate) mod wakeup;

/// Signals, of which there are none.
pub(crate) mod signals {
    use kernel::prelude::*;

    /// The error with which the current thread has to end a wait now.
    pub(crate) fn end_wait() -> Option<Error> {
        None
    }

    /// Never called.
    pub(crate) fn pause() {}
}

/// What lockdep is told.
pub(crate) mod waits {
    /// To be called before waiting for a kdamond.
    pub(crate) fn for_a_kdamond() {}
}
