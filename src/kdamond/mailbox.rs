// SPDX-License-Identifier: GPL-2.0

//! The mailbox: the only way into a running context.
//!
//! The kdamond owns its context, nobody else has a reference to it. Others *ask*: [`Mailbox`] is
//! their side, [`Inbox`] is the kdamond's. Between the two is one mutex around one [`State`].
//!
//! Why no request can be lost:
//!
//! - A request is registered, and the running state is looked at, under the same lock. So none can
//!   be registered to a context that is not running, and none can slip in behind the last look of a
//!   kdamond that ends: that look *is* the change to [`State::Stopped`].
//! - Runs are numbered. Who waits for the end of one does not take another's for it.
//! - A request is taken out under the lock before it is ended. Whoever takes it owns it; what is
//!   registered afterwards is another request, which nothing that happens to the first can touch.
//! - A request that is dropped is cancelled ([`Reply`]). The last ones are dropped by the thread's
//!   exit, with the [`Inbox`].
//!
//! No lock is held while a request is served, ended or dropped.

use super::{
    queue::{
        Entry,
        Queue, //
    },
    reply::{
        self,
        ecanceled,
        Reply, //
    },
    sync::Monitor,
    thread::{
        bell::Bell,
        waits, //
    },
    walk, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A request to run something on the kdamond, once.
pub(crate) trait Call<C>: Send {
    /// Does it and answers. Called at most once; dropped uncalled, the request is cancelled.
    fn serve(&mut self, context: &mut C);
}

/// A request to run something on the kdamond at every sampling tick.
pub(crate) trait Repeat<C>: Send {
    /// Does it once more.
    fn tick(&mut self, context: &mut C);
}

enum Walking {
    None,
    /// Registered, the kdamond has not come to it.
    Waiting(walk::Request),
    /// The kdamond has it and shows it regions.
    Underway,
}

enum State<C> {
    Stopped {
        /// The number of the last run, 0 if there was none.
        last: u64,
    },
    Running {
        /// The number of this run. The first one's is 1, and no number comes twice.
        run: u64,
        calls: Queue<dyn Call<C>>,
        repeats: Queue<dyn Repeat<C>>,
        walk: Walking,
        stop: bool,
    },
}

/// The side of those who want something of a kdamond.
pub(crate) struct Mailbox<C> {
    state: Arc<Monitor<State<C>>>,
    bell: Arc<Bell>,
}

impl<C> Clone for Mailbox<C> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            bell: self.bell.clone(),
        }
    }
}

struct OneShot<T: Unpin, F> {
    /// Both are there until the call is served.
    parts: Option<(F, Reply<T>)>,
}

impl<C, T: Send + Unpin, F: FnOnce(&mut C) -> T + Send> Call<C> for OneShot<T, F> {
    fn serve(&mut self, context: &mut C) {
        if let Some((f, reply)) = self.parts.take() {
            reply.send(f(context));
        }
    }
}

struct EveryTick<F>(F);

impl<C, F: FnMut(&mut C) + Send> Repeat<C> for EveryTick<F> {
    fn tick(&mut self, context: &mut C) {
        (self.0)(context);
    }
}

impl<C: 'static> Mailbox<C> {
    /// A mailbox of no kdamond yet. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            state: Monitor::new(State::Stopped { last: 0 })?,
            bell: Bell::new()?,
        })
    }

    /// Opens the mailbox for one run of a kdamond. Fails with `EBUSY` if it is open.
    pub(crate) fn open(&self) -> Result<Inbox<C>> {
        let mut state = self.state.lock();
        match *state {
            // Mistake: the mailbox can be opened while it is open.
            State::Running { run, .. } if cfg!(model_mistake = "opened_twice") => {
                *state = State::Stopped { last: run };
            }
            _ => (),
        }
        match *state {
            State::Running { .. } => Err(EBUSY),
            State::Stopped { last } => {
                let run = last.saturating_add(1);
                *state = State::Running {
                    run,
                    calls: Queue::new(),
                    repeats: Queue::new(),
                    walk: Walking::None,
                    stop: false,
                };
                drop(state);
                Ok(Inbox {
                    mailbox: self.clone(),
                    run,
                })
            }
        }
    }

    /// Whether a kdamond runs.
    pub(crate) fn is_running(&self) -> bool {
        self.run().is_some()
    }

    /// The number of the run that is under way.
    pub(crate) fn run(&self) -> Option<u64> {
        match *self.state.lock() {
            State::Stopped { .. } => None,
            State::Running { run, .. } => Some(run),
        }
    }

    /// Runs `f` on the kdamond, between two samplings, and hands its result back.
    ///
    /// The kdamond is woken for it. Sleeps until it is done. Fails with `ECANCELED` if no kdamond
    /// runs, or it ends before it comes to the request, with `EINTR` if a signal comes first, and
    /// with `ENOMEM`.
    pub(crate) fn call<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&mut C) -> T + Send + 'static,
    {
        let (reply, waiter) = reply::pair()?;
        let request: KBox<dyn Call<C>> = KBox::new(
            OneShot {
                parts: Some((f, reply)),
            },
            GFP_KERNEL,
        )?;
        let entry = Entry::new(request)?;

        // Mistake: the running state is looked at under an earlier hold of the lock.
        if cfg!(model_mistake = "registered_after_the_check") && !self.is_running() {
            return Err(ecanceled());
        }
        // Mistake: the bell is rung before there is anything to do.
        if cfg!(model_mistake = "rung_before_registered") {
            self.bell.ring();
        }
        let mut state = self.state.lock();
        match &mut *state {
            State::Stopped { .. } if cfg!(model_mistake = "registered_after_the_check") => {
                core::mem::forget(entry);
            }
            // Unlocked before `entry` is dropped: it was declared earlier.
            State::Stopped { .. } => return Err(ecanceled()),
            State::Running { calls, .. } => calls.push(entry),
        }
        drop(state);
        if !cfg!(model_mistake = "rung_before_registered") {
            self.bell.ring();
        }
        waiter.wait()
    }

    /// Has `f` run at every sampling tick until the kdamond ends, and then dropped.
    ///
    /// Does not wait. Fails with `ECANCELED` if no kdamond runs, and with `ENOMEM`.
    pub(crate) fn call_repeatedly<F>(&self, f: F) -> Result
    where
        F: FnMut(&mut C) + Send + 'static,
    {
        let request: KBox<dyn Repeat<C>> = KBox::new(EveryTick(f), GFP_KERNEL)?;
        let entry = Entry::new(request)?;

        let mut state = self.state.lock();
        match &mut *state {
            State::Stopped { .. } => Err(ecanceled()),
            State::Running { repeats, .. } => {
                repeats.push(entry);
                drop(state);
                self.bell.ring();
                Ok(())
            }
        }
    }

    /// Registers a walk. The caller waits for its end by other means.
    ///
    /// Fails with `ECANCELED` if no kdamond runs, and with `EBUSY` if there is another one.
    pub(crate) fn register_walk(&self, request: walk::Request) -> Result {
        let mut state = self.state.lock();
        match &mut *state {
            State::Stopped { .. } => return Err(ecanceled()),
            State::Running {
                walk: walk @ Walking::None,
                ..
            } => *walk = Walking::Waiting(request),
            // Mistake: a walk is registered before there is room for it.
            State::Running {
                walk: walk @ Walking::Underway,
                ..
            } if cfg!(model_mistake = "any_walk_thrown_out") => *walk = Walking::Waiting(request),
            State::Running { .. } => return Err(EBUSY),
        }
        drop(state);
        self.bell.ring();
        Ok(())
    }

    /// Wakes the kdamond, to look whether anybody waits for its walk any more.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// Asks the kdamond to end and waits until its mailbox is closed.
    ///
    /// Hands back the number of the run that has ended, and `EPERM` with it if that was so before.
    pub(crate) fn stop(&self) -> (u64, Result) {
        waits::for_a_kdamond();
        let mut state = self.state.lock();
        let its = match &mut *state {
            State::Stopped { last } => return (*last, Err(EPERM)),
            State::Running { run, stop, .. } => {
                *stop = true;
                *run
            }
        };
        self.bell.ring();
        // Mistake: a stop waits for any run, not only for the one that it has stopped.
        let any = cfg!(model_mistake = "stop_waits_for_any_run");
        // Whoever opens it again does so for another run, which is not waited for.
        while matches!(*state, State::Running { run, .. } if run == its || any) {
            self.state.wait(&mut state);
        }
        (its, Ok(()))
    }
}

/// The kdamond's side, for one run. Dropping it closes the mailbox: whatever is registered is
/// cancelled, and nothing can be registered any more.
pub(crate) struct Inbox<C> {
    mailbox: Mailbox<C>,
    run: u64,
}

impl<C> Inbox<C> {
    /// The number of the run.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Serves the calls that are waiting, in the order in which they came.
    pub(crate) fn serve_calls(&mut self, context: &mut C) {
        let waiting = match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => return,
            State::Running { calls, .. } => calls.take(),
        };
        waiting.drain(|call| call.serve(context));
    }

    /// Takes over the repeating calls that were registered since the last time.
    pub(crate) fn take_repeats(&mut self) -> Queue<dyn Repeat<C>> {
        match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => Queue::new(),
            State::Running { repeats, .. } => repeats.take(),
        }
    }

    /// Takes the registered walk, if there is one, to show it regions. No other can be registered
    /// until [`Self::end_walk`].
    pub(crate) fn take_walk(&mut self) -> Option<walk::Request> {
        match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => None,
            State::Running { walk, .. } => match core::mem::replace(walk, Walking::Underway) {
                Walking::Waiting(request) => Some(request),
                other => {
                    *walk = other;
                    None
                }
            },
        }
    }

    /// Makes room for the next walk. To be called before the one that was taken is ended, so that
    /// a caller who hears of the end can register another at once.
    pub(crate) fn end_walk(&mut self) {
        if let State::Running { walk, .. } = &mut *self.mailbox.state.lock() {
            // Mistake: the next walk is thrown out with the one that has ended.
            let any = cfg!(model_mistake = "any_walk_thrown_out");
            if matches!(walk, Walking::Underway) || any {
                *walk = Walking::None;
            }
        }
    }

    /// Whether the kdamond was asked to end.
    pub(crate) fn stop_requested(&self) -> bool {
        match *self.mailbox.state.lock() {
            State::Stopped { .. } => true,
            State::Running { stop, .. } => stop,
        }
    }

    /// What is rung when there is something to do.
    pub(crate) fn bell(&self) -> &Bell {
        &self.mailbox.bell
    }
}

impl<C> Drop for Inbox<C> {
    fn drop(&mut self) {
        let stopped = State::Stopped { last: self.run };
        let cancelled = core::mem::replace(&mut *self.mailbox.state.lock(), stopped);
        // Those who wait for the end may go on while the requests are cancelled: nobody finds the
        // requests in the mailbox any more.
        // Mistake: callers that wait for the end are not woken.
        if !cfg!(model_mistake = "end_not_told") {
            self.mailbox.state.notify_all();
        }
        // Mistake: requests that are registered at the end are lost.
        if cfg!(model_mistake = "forgotten_at_the_end") {
            core::mem::forget(cancelled);
            return;
        }
        drop(cancelled);
    }
}
