// SPDX-License-Identifier: GPL-2.0

//! What a kdamond sleeps on: a bell that anyone can ring, and an hrtimer.
//!
//! One thread sleeps, so what wakes it is an `rcuwait`: the place where it leaves word that it does.
//! There is no queue to enter and to leave, and no lock.
//!
//! `CondVar` of the kernel crate counts its time limits in jiffies (4 ms at HZ=250), which is too
//! coarse for a sampling interval of 5 ms.

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

/// The state of a sleeper: not to be woken by signals, and no load.
const TASK_IDLE: c_uint = c::TASK_IDLE as c_uint;

/// By how much a sleep may be longer, so that it can share an interrupt with others: the
/// microsecond that the C DAMON allows.
const SLACK_NANOS: u64 = 1000;

/// The time.
pub(crate) fn now() -> Moment {
    // SAFETY: May be called in any context once timekeeping runs, which it does when modules are
    // loaded.
    let nanos = unsafe { c::ktime_get() };
    Moment::from_nanos(nanos.unsigned_abs())
}

impl Moment {
    /// The time.
    pub fn now() -> Self {
        now()
    }

    /// The moment an interval later, or never if that is too far away to count.
    pub fn after(self, interval: Micros) -> Self {
        self.after_micros(interval.0)
    }
}

/// A bell for one sleeper. A ring is not lost: it ends the sleep that is going on, or the next one.
#[pin_data]
pub(crate) struct Bell {
    rung: Atomic<bool>,
    #[pin]
    sleeper: Opaque<c::rcuwait>,
}

// SAFETY: What is in an `rcuwait` is a thread that sleeps, and that is in `sleep_until` meanwhile and
// has a reference to the bell.
unsafe impl Send for Bell {}
// SAFETY: An `rcuwait` is made to be woken by any thread. If two should sleep at the same time, one
// may sleep to its deadline; the other puts itself in, and what is taken out is nobody. `rung` is
// atomic.
unsafe impl Sync for Bell {}

impl Bell {
    /// A silent bell. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                rung: Atomic::new(false),
                // As `rcuwait_init` does it.
                sleeper: Opaque::new(c::rcuwait {
                    task: core::ptr::null_mut(),
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Rings. May be called in any context.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Release);
        // SAFETY: The `rcuwait` was initialised by `new` and lives as long as `self`. The full barrier
        // that this begins with pairs with the one in `sleep_until`: either the sleeper is found and
        // woken, or it comes later and sees `rung`.
        unsafe { c::rcuwait_wake_up(self.sleeper.get()) };
    }

    /// Takes note of the rings so far. To be called before looking at what they were for.
    pub(crate) fn answer(&self) -> bool {
        // Nearly always silent, then no locked instruction is needed: a ring that is missed here
        // ends the next sleep.
        self.rung.load(Acquire) && self.rung.xchg(false, Full)
    }

    /// Sleeps until the bell rings, or until `deadline`. Whether that has passed and the bell was
    /// silent: if not, it may have passed all the same.
    ///
    /// Process context, no locks held. Counts as idle, not as load. May return early.
    pub(crate) fn sleep_until(&self, deadline: Moment) -> bool {
        let mut passed = false;
        // SAFETY: The `rcuwait` was initialised by `new`. The current thread is taken out of it by
        // `finish_rcuwait` below. There is a full barrier behind.
        unsafe { bindings::damon_rs_helper_prepare_to_rcuwait(self.sleeper.get(), TASK_IDLE) };
        if !self.rung.load(Relaxed) {
            let mut expires: c::ktime_t = deadline.as_ktime();
            // SAFETY: `expires` is valid for the call, the task state was set just now.
            let left = unsafe {
                c::schedule_hrtimeout_range(
                    &mut expires,
                    SLACK_NANOS,
                    c::hrtimer_mode_HRTIMER_MODE_ABS,
                )
            };
            // Zero where the timer has expired, and it does so no earlier.
            passed = left == 0 && !self.rung.load(Relaxed);
        }
        // SAFETY: As above.
        unsafe { c::finish_rcuwait(self.sleeper.get()) };
        passed
    }
}
