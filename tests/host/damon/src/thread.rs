// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread.rs`.

pub(crate) mod wakeup;

/// What lockdep is told.
pub(crate) mod waits {
    /// To be called before waiting for a kdamond.
    pub(crate) fn for_a_kdamond() {}
}
