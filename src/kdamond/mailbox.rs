// SPDX-License-Identifier: GPL-2.0

//! The mailbox: the only way into a running context.
//!
//! The kdamond owns its context, and no other thread has a reference to it. Other threads send
//! requests: [`Mailbox`] is the side of the callers, [`Inbox`] is the side of the kdamond. Between
//! the two is one mutex around one [`State`].
//!
//! A request is never lost, for these reasons:
//!
//! - A request is registered under the lock under which the running state was checked. Hence no
//!   request is registered with a context that does not run, and none can be registered after a
//!   kdamond has checked for the last time and before it ends: the last check *is* the change to
//!   [`State::Stopped`].
//! - Runs are numbered. A thread that waits for the end of one run does not confuse it with
//!   another.
//! - A request is taken out under the lock before it is ended. The thread that takes it out owns
//!   it. A request that is registered afterwards is another one, and not affected by the end of the
//!   first.
//! - A request that is dropped is cancelled ([`Reply`]). The last ones are dropped when the thread
//!   ends, along with the [`Inbox`].
//!
//! No lock is held while a request is served, ended or dropped.

use super::{
    queue::{
        Entry,
        Queue, //
    },
    reply::{
        self,
        Reply, //
    },
    sync::WaitMutex,
    thread::{
        waits,
        wakeup::Wakeup, //
    },
    walk, //
};
use crate::errno::ecanceled;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A request to run a closure on the kdamond once.
pub(crate) trait Call<C>: Send {
    /// Runs the closure and sends its result. Called at most once. If it is dropped without a call,
    /// the request is cancelled.
    ///
    /// Runs on the kdamond, in process context and without locks held. May sleep.
    fn serve(&mut self, context: &mut C);
}

/// A request to run a closure on the kdamond at every sampling tick.
pub(crate) trait Repeat<C>: Send {
    /// Runs the closure. The context is the same as of [`Call::serve`].
    fn tick(&mut self, context: &mut C);
}

enum Walking {
    None,
    /// Registered, and not taken out by the kdamond yet.
    Waiting(walk::Request),
    /// Taken out by the kdamond, which calls the walker.
    Underway,
}

enum State<C> {
    Stopped {
        /// The number of the last run, 0 if there was none.
        last: u64,
    },
    Running {
        /// The number of this run. The first run has number 1, and numbers are not reused.
        run: u64,
        calls: Queue<dyn Call<C>>,
        repeats: Queue<dyn Repeat<C>>,
        walk: Walking,
        stop: bool,
    },
}

/// The callers' side of a mailbox.
pub(crate) struct Mailbox<C> {
    state: Arc<WaitMutex<State<C>>>,
    wakeup: Arc<Wakeup>,
}

impl<C> Clone for Mailbox<C> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            wakeup: self.wakeup.clone(),
        }
    }
}

struct OneShot<T: Unpin, F> {
    /// `None` after the call was served.
    parts: Option<(F, Reply<T>)>,
}

impl<C, T: Send + Unpin, F: FnOnce(&mut C) -> T + Send> Call<C> for OneShot<T, F> {
    fn serve(&mut self, context: &mut C) {
        if let Some((f, reply)) = self.parts.take() {
            // Mistake: a call that was taken back is served.
            if reply.begin() || cfg!(model_mistake = "served_though_taken_back") {
                reply.send(f(context));
            }
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
    /// Creates the mailbox of a kdamond that does not run. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            state: WaitMutex::new(State::Stopped { last: 0 })?,
            wakeup: Wakeup::new()?,
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

    /// Returns whether the kdamond runs.
    pub(crate) fn is_running(&self) -> bool {
        self.run().is_some()
    }

    /// Returns the number of the current run, if the kdamond runs.
    pub(crate) fn run(&self) -> Option<u64> {
        match *self.state.lock() {
            State::Stopped { .. } => None,
            State::Running { run, .. } => Some(run),
        }
    }

    /// Runs `f` on the kdamond, between two sampling ticks, and returns its result.
    ///
    /// Wakes up the kdamond and sleeps until the call has ended. A call from the kdamond itself
    /// deadlocks. Fails with `ECANCELED` if the kdamond does not run or ends before it has served
    /// the call, with `EINTR` or `ERESTARTNOINTR` if the thread has to leave before that
    /// ([`reply::Waiter::wait`]), and with `ENOMEM`. After an error `f` is not run.
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

        // Mistake: the running state is checked in an earlier critical section.
        if cfg!(model_mistake = "registered_after_the_check") && !self.is_running() {
            return Err(ecanceled());
        }
        // Mistake: the kdamond is woken up before the request is registered.
        if cfg!(model_mistake = "rung_before_registered") {
            self.wakeup.wake();
        }
        let mut state = self.state.lock();
        match &mut *state {
            State::Stopped { .. } if cfg!(model_mistake = "registered_after_the_check") => {
                core::mem::forget(entry);
            }
            // `entry` is dropped after the lock is released, because it was declared before
            // `state`.
            State::Stopped { .. } => return Err(ecanceled()),
            State::Running { calls, .. } => calls.push(entry),
        }
        drop(state);
        if !cfg!(model_mistake = "rung_before_registered") {
            self.wakeup.wake();
        }
        waiter.wait()
    }

    /// Runs `f` at every sampling tick until the kdamond ends, and then drops it.
    ///
    /// Does not wait for the kdamond. May sleep. Fails with `ECANCELED` if the kdamond does not
    /// run, and with `ENOMEM`.
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
                self.wakeup.wake();
                Ok(())
            }
        }
    }

    /// Registers a walk. The caller waits for its end on the [`reply::Waiter`] of the request.
    ///
    /// Fails with `ECANCELED` if the kdamond does not run, and with `EBUSY` if there is another
    /// walk.
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
        self.wakeup.wake();
        Ok(())
    }

    /// Wakes up the kdamond, to check whether the caller has abandoned its walk.
    pub(crate) fn wake(&self) {
        self.wakeup.wake();
    }

    /// Requests the kdamond to end, and sleeps until its mailbox is closed. A call from the kdamond
    /// itself deadlocks.
    ///
    /// Returns the number of the run that has ended, along with `EPERM` if it had ended before.
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
        self.wakeup.wake();
        // Mistake: a stop waits for any run, not only for the one that it has stopped.
        let any = cfg!(model_mistake = "stop_waits_for_any_run");
        // If the mailbox is opened again meanwhile, that is another run, which is not waited for.
        while matches!(*state, State::Running { run, .. } if run == its || any) {
            self.state.wait(&mut state);
        }
        (its, Ok(()))
    }
}

/// The kdamond's side of a mailbox, for one run. Dropping it closes the mailbox: all registered
/// requests are cancelled, and new ones are rejected.
pub(crate) struct Inbox<C> {
    mailbox: Mailbox<C>,
    run: u64,
}

impl<C> Inbox<C> {
    /// Returns the number of the run.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Serves the registered calls in the order of their registration.
    pub(crate) fn serve_calls(&mut self, context: &mut C) {
        let waiting = match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => return,
            State::Running { calls, .. } => calls.take(),
        };
        waiting.drain(|call| call.serve(context));
    }

    /// Takes out the repeating calls that were registered since the last time.
    pub(crate) fn take_repeats(&mut self) -> Queue<dyn Repeat<C>> {
        match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => Queue::new(),
            State::Running { repeats, .. } => repeats.take(),
        }
    }

    /// Takes out the registered walk, if there is one. No other walk can be registered until
    /// [`Self::end_walk`].
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

    /// Allows for the registration of the next walk. Must be called before the walk that was taken
    /// out is ended, so that its caller can register another one immediately.
    pub(crate) fn end_walk(&mut self) {
        if let State::Running { walk, .. } = &mut *self.mailbox.state.lock() {
            // Mistake: the next walk is discarded along with the one that has ended.
            let any = cfg!(model_mistake = "any_walk_thrown_out");
            if matches!(walk, Walking::Underway) || any {
                *walk = Walking::None;
            }
        }
    }

    /// Returns whether a stop was requested.
    pub(crate) fn stop_requested(&self) -> bool {
        match *self.mailbox.state.lock() {
            State::Stopped { .. } => true,
            State::Running { stop, .. } => stop,
        }
    }

    /// Returns the wakeup of the kdamond.
    pub(crate) fn wakeup(&self) -> &Wakeup {
        &self.mailbox.wakeup
    }
}

impl<C> Drop for Inbox<C> {
    fn drop(&mut self) {
        let stopped = State::Stopped { last: self.run };
        let cancelled = core::mem::replace(&mut *self.mailbox.state.lock(), stopped);
        // Callers that wait for the end may continue while the requests are cancelled, because the
        // requests are not in the mailbox any more.
        // Mistake: callers that wait for the end are not woken.
        if !cfg!(model_mistake = "end_not_reported") {
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
