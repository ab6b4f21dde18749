// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread/bell.rs`: the same flag with the same orderings, and the wait
//! queue as its locked sections.
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

/// A bell for one sleeper.
pub(crate) struct Bell {
    rung: AtomicBool,
    /// The sleeper's entry in the wait queue: whether it was woken.
    queue: Mutex<Option<bool>>,
    woken: Condvar,
}

impl Bell {
    /// A silent bell.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                rung: AtomicBool::new(false),
                queue: Mutex::new(None),
                woken: Condvar::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Rings.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        // `__wake_up()`
        if let Some(woken) = self.queue.lock().expect("no thread has panicked").as_mut() {
            *woken = true;
            self.woken.notify_all();
        }
    }

    /// Takes note of the rings so far.
    pub(crate) fn answer(&self) -> bool {
        self.rung.load(Ordering::Acquire) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Sleeps until the bell rings, or until `deadline`.
    pub(crate) fn sleep_until(&self, deadline: Moment) {
        // `prepare_to_wait()`
        *self.queue.lock().expect("no thread has panicked") = Some(false);
        if !self.rung.load(Ordering::Relaxed) {
            if TIMERS.with(Cell::get) > 0 {
                TIMERS.with(|timers| timers.set(timers.get() - 1));
                NOW.with(|now| now.set(deadline.as_ktime().max(now.get())));
            } else {
                let mut queue = self.queue.lock().expect("no thread has panicked");
                while *queue == Some(false) {
                    queue = self.woken.wait(queue).expect("no thread has panicked");
                }
            }
        }
        // `finish_wait()`
        *self.queue.lock().expect("no thread has panicked") = None;
    }
}
