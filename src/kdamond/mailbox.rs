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
    bell::Bell,
    reply::{
        self,
        ecanceled,
        Reply, //
    },
    sync::Monitor,
    thread::waits, //
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

/// A request to see what every scheme is applied to, as the kdamond holds it.
///
/// `V` is what a visitor of one context's schemes looks like (`dyn Walker`).
pub(crate) trait Walk<V: ?Sized>: Send {
    /// Who is to be shown the regions; `None` once the walk is finished.
    fn visitor(&mut self) -> Option<&mut V>;
    /// Answers that all of them were shown.
    fn finish(&mut self);
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
}

/// Requests in the order of their coming, newest first. Linked, so that registering one allocates
/// nothing under the lock.
struct Link<R: ?Sized> {
    next: Option<KBox<Link<R>>>,
    request: KBox<R>,
}

type Chain<R> = Option<KBox<Link<R>>>;

/// Reverses a chain: oldest first.
fn oldest_first<R: ?Sized>(mut newest: Chain<R>) -> Chain<R> {
    let mut oldest = None;
    while let Some(mut link) = newest {
        newest = link.next.take();
        link.next = oldest;
        oldest = Some(link);
    }
    oldest
}

enum Walking<V: ?Sized> {
    None,
    /// Registered, the kdamond has not come to it.
    Waiting(KBox<dyn Walk<V>>),
    /// The kdamond has it and shows it regions.
    Underway,
}

enum State<C, V: ?Sized> {
    Stopped {
        /// The number of the last run, 0 if there was none.
        last: u64,
    },
    Running {
        /// The number of this run. The first one's is 1, and no number comes twice.
        run: u64,
        calls: Chain<dyn Call<C>>,
        repeats: Chain<dyn Repeat<C>>,
        walk: Walking<V>,
        stop: bool,
    },
}

/// The side of those who want something of a kdamond.
pub(crate) struct Mailbox<C, V: ?Sized> {
    state: Arc<Monitor<State<C, V>>>,
    bell: Arc<Bell>,
}

impl<C, V: ?Sized> Clone for Mailbox<C, V> {
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

impl<C: 'static, V: ?Sized + 'static> Mailbox<C, V> {
    /// A mailbox of no kdamond yet. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            state: Monitor::new(State::Stopped { last: 0 })?,
            bell: Bell::new()?,
        })
    }

    /// Opens the mailbox for one run of a kdamond. Fails with `EBUSY` if it is open.
    pub(crate) fn open(&self) -> Result<Inbox<C, V>> {
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
                    calls: None,
                    repeats: None,
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
        let mut link = KBox::new(
            Link {
                next: None,
                request,
            },
            GFP_KERNEL,
        )?;

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
                core::mem::forget(link);
            }
            // Unlocked before `link` is dropped: it was declared earlier.
            State::Stopped { .. } => return Err(ecanceled()),
            State::Running { calls, .. } => {
                link.next = calls.take();
                *calls = Some(link);
            }
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
        let mut link = KBox::new(
            Link {
                next: None,
                request,
            },
            GFP_KERNEL,
        )?;

        let mut state = self.state.lock();
        match &mut *state {
            State::Stopped { .. } => Err(ecanceled()),
            State::Running { repeats, .. } => {
                link.next = repeats.take();
                *repeats = Some(link);
                drop(state);
                self.bell.ring();
                Ok(())
            }
        }
    }

    /// Registers a walk. The caller waits for its end by other means.
    ///
    /// Fails with `ECANCELED` if no kdamond runs, and with `EBUSY` if there is another one.
    pub(crate) fn register_walk(&self, request: KBox<dyn Walk<V>>) -> Result {
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
pub(crate) struct Inbox<C, V: ?Sized> {
    mailbox: Mailbox<C, V>,
    run: u64,
}

impl<C, V: ?Sized> Inbox<C, V> {
    /// The number of the run.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Serves the calls that are waiting, in the order in which they came.
    pub(crate) fn serve_calls(&mut self, context: &mut C) {
        let mut waiting = oldest_first(match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => None,
            State::Running { calls, .. } => calls.take(),
        });
        while let Some(mut link) = waiting {
            waiting = link.next.take();
            link.request.serve(context);
        }
    }

    /// Takes over the repeating calls that were registered since the last time.
    pub(crate) fn take_repeats(&mut self, repeats: &mut Repeats<C>) {
        let mut new = oldest_first(match &mut *self.mailbox.state.lock() {
            State::Stopped { .. } => None,
            State::Running { repeats, .. } => repeats.take(),
        });
        while let Some(mut link) = new {
            new = link.next.take();
            link.next = repeats.0.take();
            repeats.0 = Some(link);
        }
    }

    /// Takes the registered walk, if there is one, to show it regions. No other can be registered
    /// until [`Self::end_walk`].
    pub(crate) fn take_walk(&mut self) -> Option<KBox<dyn Walk<V>>> {
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

impl<C, V: ?Sized> Drop for Inbox<C, V> {
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
        cancel(cancelled);
    }
}

/// Drops what is left in a closed mailbox, link by link: a long chain must not be dropped by
/// recursion on a kernel stack.
fn cancel<C, V: ?Sized>(state: State<C, V>) {
    if let State::Running { calls, repeats, .. } = state {
        let mut calls = oldest_first(calls);
        while let Some(mut link) = calls {
            calls = link.next.take();
        }
        drop(Repeats(repeats));
    }
}

/// The repeating calls of a running kdamond.
pub(crate) struct Repeats<C>(Chain<dyn Repeat<C>>);

impl<C> Repeats<C> {
    /// None.
    pub(crate) fn new() -> Self {
        Self(None)
    }

    /// Runs each once.
    pub(crate) fn tick(&mut self, context: &mut C) {
        let mut next = &mut self.0;
        while let Some(link) = next {
            link.request.tick(context);
            next = &mut link.next;
        }
    }
}

impl<C> Drop for Repeats<C> {
    fn drop(&mut self) {
        let mut rest = self.0.take();
        while let Some(mut link) = rest {
            rest = link.next.take();
            // Mistake: a repeating call is never dropped.
            if cfg!(model_mistake = "repeat_kept") {
                core::mem::forget(link);
            }
        }
    }
}
