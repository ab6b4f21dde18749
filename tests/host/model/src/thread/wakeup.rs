// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread/wakeup.rs`: the same flag with the same orderings and fences,
//! and the state of the sleeping task as its locked sections.
//!
//! Time passes for a kdamond only when it sleeps, and only as often as it was [`wind`]ed up:
//! otherwise it would never come to an end. So nobody is served because a timer happened to fire.

use crate::{
    kdamond::moment::Moment,
    primitives::{
        Arc,
        Condvar,
        Mutex, //
    },
};
use kernel::prelude::*;
use loom::sync::atomic::{
    fence,
    AtomicBool,
    Ordering, //
};
use std::cell::Cell;

loom::thread_local! {
    static NOW: Cell<i64> = Cell::new(0);
    static TIMERS: Cell<u32> = Cell::new(0);
}

/// Lets the current thread's timer fire some times more.
pub(crate) fn wind(times: u32) {
    TIMERS.with(|timers| timers.set(timers.get() + times));
}

/// The time.
pub(crate) fn now() -> Moment {
    Moment::from_nanos(NOW.with(Cell::get).unsigned_abs())
}

/// A wakeup for one sleeper.
pub(crate) struct Wakeup {
    rung: AtomicBool,
    /// The `rcuwait`: whether the sleeper is in it.
    sleeper: AtomicBool,
    /// The state of the sleeper's task: whether it was woken since it was going to sleep.
    woken: Mutex<bool>,
    woke: Condvar,
}

impl Wakeup {
    /// A silent wakeup.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                rung: AtomicBool::new(false),
                sleeper: AtomicBool::new(false),
                woken: Mutex::new(true),
                woke: Condvar::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Rings.
    pub(crate) fn wake(&self) {
        self.rung.store(true, Ordering::Release);
        // `rcuwait_wake_up()`
        fence(Ordering::SeqCst);
        if self.sleeper.load(Ordering::Relaxed) {
            // `wake_up_process()`
            *self.woken.lock().expect("no thread has panicked") = true;
            self.woke.notify_all();
        }
    }

    /// Takes note of the rings so far.
    pub(crate) fn consume(&self) -> bool {
        self.rung.load(Ordering::Acquire) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Sleeps until the wakeup rings, or until `deadline`. Whether that has passed and the wakeup
    /// was silent.
    pub(crate) fn sleep_until(&self, deadline: Moment) -> bool {
        let mut passed = false;
        // `prepare_to_rcuwait()`
        self.sleeper.store(true, Ordering::Release);
        // `set_current_state()`
        *self.woken.lock().expect("no thread has panicked") = false;
        fence(Ordering::SeqCst);
        if !self.rung.load(Ordering::Relaxed) {
            if TIMERS.with(Cell::get) > 0 {
                TIMERS.with(|timers| timers.set(timers.get() - 1));
                NOW.with(|now| now.set(deadline.as_ktime().max(now.get())));
                passed = !self.rung.load(Ordering::Relaxed);
            } else {
                let mut woken = self.woken.lock().expect("no thread has panicked");
                while !*woken {
                    woken = self.woke.wait(woken).expect("no thread has panicked");
                }
            }
        }
        // `finish_rcuwait()`
        self.sleeper.store(false, Ordering::Release);
        passed
    }
}
