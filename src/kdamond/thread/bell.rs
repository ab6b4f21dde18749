// SPDX-License-Identifier: GPL-2.0

//! What a kdamond sleeps on: a bell that anyone can ring, and an hrtimer.
//!
//! `CondVar` of the kernel crate counts its time limits in jiffies (4 ms at HZ=250), which is too
//! coarse for a sampling interval of 5 ms.

use crate::{
    engine::Micros,
    kdamond::moment::Moment, //
};
use kernel::{
    bindings,
    ffi::c_int,
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
const TASK_IDLE: c_int = bindings::TASK_IDLE as c_int;

/// By how much a sleep may be longer, so that it can share an interrupt with others: the
/// microsecond that the C DAMON allows.
const SLACK_NANOS: u64 = 1000;

/// The time.
pub(crate) fn now() -> Moment {
    // SAFETY: May be called in any context once timekeeping runs, which it does when modules are
    // loaded.
    let nanos = unsafe { bindings::ktime_get() };
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
    sleeper: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue may be used and dropped by any thread, it has a lock of its own.
unsafe impl Send for Bell {}
// SAFETY: As above, and `rung` is atomic.
unsafe impl Sync for Bell {}

impl Bell {
    /// A silent bell. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                rung: Atomic::new(false),
                sleeper <- Opaque::ffi_init(|slot| {
                    // SAFETY: `slot` is valid memory for a wait queue head that will not move, name
                    // and key are static.
                    unsafe {
                        bindings::__init_waitqueue_head(
                            slot,
                            c"damon_bell".as_char_ptr(),
                            kernel::static_lock_class!().as_ptr(),
                        )
                    }
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Rings. May be called in any context.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Release);
        // SAFETY: The wait queue head was initialised by `new` and lives as long as `self`.
        // `__wake_up` takes its lock, which orders it against `prepare_to_wait` below: either the
        // sleeper is in the queue and is woken, or it enters later and sees `rung`.
        unsafe {
            bindings::__wake_up(
                self.sleeper.get(),
                bindings::TASK_NORMAL,
                1,
                core::ptr::null_mut(),
            )
        };
    }

    /// Takes note of the rings so far. To be called before looking at what they were for.
    pub(crate) fn answer(&self) -> bool {
        // Nearly always silent, then no locked instruction is needed: a ring that is missed here
        // ends the next sleep.
        self.rung.load(Acquire) && self.rung.xchg(false, Full)
    }

    /// Sleeps until the bell rings, or until `deadline`.
    ///
    /// Process context, no locks held. Counts as idle, not as load. May return early.
    pub(crate) fn sleep_until(&self, deadline: Moment) {
        let wait = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `wait` is valid memory for a wait queue entry.
        unsafe { bindings::init_wait(wait.get()) };
        // SAFETY: The head was initialised by `new`, the entry just now. The entry leaves the queue
        // by `finish_wait` below, before it goes out of scope.
        unsafe { bindings::prepare_to_wait(self.sleeper.get(), wait.get(), TASK_IDLE) };
        if !self.rung.load(Relaxed) {
            let mut expires: bindings::ktime_t = deadline.as_ktime();
            // SAFETY: `expires` is valid for the call, the task state was set by `prepare_to_wait`.
            unsafe {
                bindings::schedule_hrtimeout_range(
                    &mut expires,
                    SLACK_NANOS,
                    bindings::hrtimer_mode_HRTIMER_MODE_ABS,
                )
            };
        }
        // SAFETY: Both are valid and `wait` was given to `prepare_to_wait`.
        unsafe { bindings::finish_wait(self.sleeper.get(), wait.get()) };
    }
}
