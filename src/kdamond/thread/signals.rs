// SPDX-License-Identifier: GPL-2.0

//! Which signals end the wait for a kdamond.
//!
//! A write to a file of the in-tree DAMON never fails because of a signal. Here, too, a wait goes
//! on after a signal that the process handles or ignores, and after a stop. A process that is being
//! killed does not wait. Neither does one that is to be frozen, because the whole system would wait
//! for it: its system call is restarted after it was thawed.
//!
//! C headers: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h),
//! [`include/linux/freezer.h`](srctree/include/linux/freezer.h)

use crate::bindings;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Returns the error with which the current thread has to end a wait now, `None` if it may wait.
///
/// - `EINTR`: it is being killed.
/// - `ERESTARTNOINTR`: it is to be frozen, for a suspend or by its cgroup. The system call must
///   return this error, and the kernel then repeats the call.
pub(crate) fn end_wait() -> Option<Error> {
    // SAFETY: Both helpers only access the current thread.
    unsafe {
        if bindings::damon_rs_helper_fatal_signal_pending() {
            Some(EINTR)
        } else if bindings::damon_rs_helper_restart_to_freeze() {
            Some(ERESTARTNOINTR)
        } else {
            None
        }
    }
}

/// Sleeps for a moment although a signal is pending, which would end an interruptible sleep at
/// once.
pub(crate) fn pause() {
    fsleep(Delta::from_millis(10));
}
