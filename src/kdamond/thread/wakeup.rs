// SPDX-License-Identifier: GPL-2.0

//! The wakeup of a kdamond: a flag, an `rcuwait` and an hrtimer.
//!
//! Only one thread sleeps on a [`Wakeup`]. An `rcuwait`, which stores a pointer to that thread, is
//! therefore sufficient. It needs neither a wait queue nor a lock.
//!
//! `CondVar` of the kernel crate counts timeouts in jiffies (4 ms at HZ=250), which is too coarse
//! for a sampling interval of 5 ms.
//!
//! The sleeper consumes the wakeup before it looks at the state that the wakeup is for. A wakeup
//! for a later change of that state then ends the next sleep at once:
//!
//! ```ignore
//! // The sleeper:                         // Any other thread:
//! loop {
//!     wakeup.consume();
//!     serve(inbox.take());                // mailbox.register(request)?;
//!     wakeup.sleep_until(next_sample);    // wakeup.wake();
//! }
//! ```

use crate::{
    bindings,
    engine::Micros,
    kdamond::moment::Moment, //
};
use kernel::{
    bindings as c,
    ffi::c_uint,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    types::Opaque,
};

/// Task state of the sleeper: not woken up by signals, and not counted as load.
const TASK_IDLE: c_uint = c::TASK_IDLE as c_uint;

/// Slack of a sleep in nanoseconds, with which the timer can share an interrupt with other timers:
/// one microsecond, as in the C DAMON.
const SLACK_NANOS: u64 = 1000;

/// Returns the current time.
pub(crate) fn now() -> Moment {
    // SAFETY: `ktime_get()` may be called in any context once timekeeping is initialized, which is
    // the case before modules are loaded.
    let nanos = unsafe { c::ktime_get() };
    Moment::from_nanos(nanos.unsigned_abs())
}

impl Moment {
    /// Returns the current time.
    pub fn now() -> Self {
        now()
    }

    /// Returns the moment after `interval`, or "never" if that is out of range.
    pub fn after(self, interval: Micros) -> Self {
        self.after_micros(interval.0)
    }
}

/// The wakeup of one sleeping thread.
///
/// A wakeup is not lost: it ends the current sleep or, if the thread does not sleep, the next one.
#[pin_data]
pub(crate) struct Wakeup {
    pending: Atomic<bool>,
    #[pin]
    sleeper: Opaque<c::rcuwait>,
}

// SAFETY: `pending` is an atomic. The functions on an `rcuwait` may be called by any thread. It
// only stores a thread during `sleep_until`, which borrows `self`. Hence it stores none when a
// `Wakeup` is moved or dropped.
unsafe impl Send for Wakeup {}
// SAFETY: `pending` is an atomic. `sleeper` is only accessed by the functions on an `rcuwait`,
// which load and store its `task` pointer atomically.
//
// The pointer holds no reference, but it cannot be dereferenced when stale: A thread only stores a
// pointer to itself, in `sleep_until`, and stores null before it leaves that function and thus
// before it exits. A `task_struct` is freed after an RCU grace period that begins when its thread
// has exited, at the earliest. `rcuwait_wake_up()` loads and dereferences the pointer in one RCU
// read-side critical section, so a pointer to a thread that exits meanwhile is valid until the end
// of that section.
//
// This also holds if two threads sleep at the same time, as each only stores a pointer to itself
// and null. Then one of them may not be found by a wakeup and sleeps until its deadline.
unsafe impl Sync for Wakeup {}

impl Wakeup {
    /// Creates a wakeup that is not pending. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                pending: Atomic::new(false),
                // The same as `rcuwait_init()`.
                sleeper: Opaque::new(c::rcuwait {
                    task: core::ptr::null_mut(),
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Wakes up the sleeper, or makes a wakeup pending. May be called in any context.
    pub(crate) fn wake(&self) {
        self.pending.store(true, Release);
        // The full barrier at the beginning of `rcuwait_wake_up()` pairs with the one in
        // `sleep_until`: either this call finds the sleeper and wakes it up, or the sleeper reads
        // `pending` as set.
        //
        // SAFETY: `new` has initialized the `rcuwait`, which is valid as long as `self`. Its `task`
        // is null or valid in an RCU read-side critical section, see the implementation of `Sync`.
        unsafe { c::rcuwait_wake_up(self.sleeper.get()) };
    }

    /// Consumes the pending wakeup. Returns whether there was one. Must be called before the state
    /// that the wakeup is for is checked.
    pub(crate) fn consume(&self) -> bool {
        // A wakeup is rarely pending. The load avoids a locked instruction in the usual case. A
        // wakeup that it misses ends the next sleep.
        self.pending.load(Acquire) && self.pending.xchg(false, Full)
    }

    /// Sleeps until a wakeup, or until `deadline`. Returns `true` if the deadline has passed and no
    /// wakeup is pending. The deadline may also have passed if this returns `false`.
    ///
    /// Must be called in process context, without locks held, and by one thread at a time. The
    /// sleep counts as idle, not as load. May return early.
    pub(crate) fn sleep_until(&self, deadline: Moment) -> bool {
        let mut passed = false;
        // `set_current_state()` in this function includes the full barrier that pairs with the one
        // in `wake`.
        //
        // SAFETY: `new` has initialized the `rcuwait`, which is valid as long as `self`.
        // `finish_rcuwait()` below removes the current thread from it and resets the task state.
        unsafe { bindings::damon_rs_helper_prepare_to_rcuwait(self.sleeper.get(), TASK_IDLE) };
        if !self.pending.load(Relaxed) {
            let mut expires: c::ktime_t = deadline.as_ktime();
            // SAFETY: `expires` is valid for the duration of the call. The task state was set
            // above.
            let left = unsafe {
                c::schedule_hrtimeout_range(
                    &mut expires,
                    SLACK_NANOS,
                    c::hrtimer_mode_HRTIMER_MODE_ABS,
                )
            };
            // The result is zero if the timer has expired, which it does not do before `deadline`.
            passed = left == 0 && !self.pending.load(Relaxed);
        }
        // SAFETY: `new` has initialized the `rcuwait`, which is valid as long as `self`. The
        // function stores null in it, and sets the state of the current thread to running.
        unsafe { c::finish_rcuwait(self.sleeper.get()) };
        passed
    }
}
