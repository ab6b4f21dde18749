// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread/wakeup.rs`, with a clock that stands still but where the test
//! lets a sleeper sleep to the end.

use crate::kdamond::moment::Moment;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use std::{
    cell::Cell,
    sync::{
        Condvar,
        Mutex,
        MutexGuard, //
    },
};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The time of the current thread.
pub(crate) fn now() -> Moment {
    Moment::from_nanos(NOW.get().unsigned_abs())
}

#[derive(Default)]
struct State {
    rung: bool,
    /// Until when somebody sleeps.
    asleep: Option<i64>,
    /// The sleeper may sleep to the end.
    elapsed: bool,
    /// Nobody will sleep any more.
    ended: bool,
    /// How many rings more there are, each as soon as the one before is answered.
    pestering: u32,
}

/// A wakeup for one sleeper.
#[derive(Clone)]
pub(crate) struct Wakeup(Arc<(Mutex<State>, Condvar)>);

impl Wakeup {
    /// A silent wakeup.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let shared = Arc::new((Mutex::default(), Condvar::new()), GFP_KERNEL)?;
        Ok(Arc::new(Self(shared), GFP_KERNEL)?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0 .0.lock().expect("no thread has panicked")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0 .1.notify_all();
    }

    fn wait_until(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.0
             .1
            .wait_while(self.state(), |state| !holds(state))
            .expect("no thread has panicked")
    }

    /// Rings.
    pub(crate) fn wake(&self) {
        self.change(|state| state.rung = true);
    }

    /// Takes note of the rings so far.
    pub(crate) fn consume(&self) -> bool {
        let mut state = self.state();
        let rung = core::mem::take(&mut state.rung);
        if rung && state.pestering > 0 {
            state.pestering -= 1;
            state.rung = true;
            NOW.set(NOW.get() + 1000);
        }
        rung
    }

    /// Sleeps until the wakeup rings, or until `deadline`. Whether that has passed and the wakeup
    /// was silent.
    pub(crate) fn sleep_until(&self, deadline: Moment) -> bool {
        self.change(|state| state.asleep = Some(deadline.as_ktime()));
        let mut state = self.wait_until(|state| state.rung || state.elapsed);
        let elapsed = core::mem::take(&mut state.elapsed);
        if elapsed {
            NOW.set(deadline.as_ktime());
        }
        state.asleep = None;
        elapsed && !state.rung
    }

    /// For the test: waits until somebody sleeps with nothing to do. Returns until when, `None` if
    /// there is nobody any more.
    pub(crate) fn settled(&self) -> Option<i64> {
        let state = self.wait_until(|state| {
            state.ended || state.asleep.is_some() && !state.rung && !state.elapsed
        });
        state.asleep
    }

    /// For the test: lets the sleeper sleep to the end, and waits until it sleeps again.
    pub(crate) fn pass(&self) {
        if self.settled().is_some() {
            self.change(|state| state.elapsed = true);
            let _ = self.settled();
        }
    }

    /// For the test: rings, and some times again, a microsecond after each answer.
    pub(crate) fn pester(&self, times: u32) {
        self.change(|state| (state.rung, state.pestering) = (true, times));
    }

    /// For the test: nobody will sleep any more.
    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }
}
