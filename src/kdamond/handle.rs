// SPDX-License-Identifier: GPL-2.0

//! The side of a kdamond that starts, stops and asks it.
//!
//! A kdamond can be started again. Each run has a number, which it gets as its mailbox is opened
//! ([`Mailbox::open`]), a thread, and a mailbox that closes once and
//! for all. Two things are kept apart:
//!
//! - *Does it run?* That is the mailbox's state, and nothing else. So of two starts one opens the
//!   mailbox, and the other finds it open.
//! - *Whose thread is there to be waited for?* That is the [`Slot`]'s. Between the end of a mailbox
//!   and the return of its thread the next run may be on its way already; the number tells them
//!   apart.
//!
//! ```text
//!                 start: mailbox is open, no earlier thread is left
//!   Never, Ended ───────────────────────────────────────────────────► Starting
//!        ▲                                                            │      │
//!        ├────────────────────────────────────────────────────────────┘      │
//!        │              no thread could be made                              │ thread is made
//!        │                                                                   ▼
//!        └──────────────── Ending ◄────────────────────────────────────── Started
//!          thread returned          stop, next start or drop, when the
//!                                   mailbox of this run is closed
//! ```
//!
//! The slot's lock is held for moments, and no other is taken under it. Who waits for a thread has
//! put [`Slot::Ending`] there and does not hold the lock.

use super::{
    machine::{
        ThisMachine,
        SPLIT_IN_PART,
        START_AS_COMMIT, //
    },
    mailbox::Mailbox,
    params::{
        Context,
        Params, //
    },
    registry::Registry,
    requests::{
        Requests,
        Underway, //
    },
    run,
    sync::Monitor,
    thread::{
        random_seed,
        waits,
        Thread, //
    }, //
};
use crate::{
    debug,
    engine::{
        Operations,
        Walker, //
    },
    trace::TraceEvents, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Whose thread is there to be waited for.
enum Slot {
    /// Nobody's: it was never started.
    Never,
    /// That of run `run`, as soon as it is made.
    Starting { run: u64 },
    /// That of run `run`, at work or at its end.
    Started { run: u64, thread: Thread },
    /// That of run `run`, and somebody does.
    Ending { run: u64 },
    /// Nobody's: it is gone.
    Ended,
}

/// A kdamond: running, not yet, or not any more. Dropping it stops it, and no code of the module
/// runs in its thread afterwards.
///
/// Nothing that runs on the kdamond may own one: it would wait for itself.
pub struct Kdamond {
    requests: Requests,
    registry: Arc<Registry>,
    number: usize,
    thread: Arc<Monitor<Slot>>,
}

/// Why a kdamond cannot start with these parameters, apart from what a context refuses itself.
fn misfit(params: &Params) -> Option<&'static str> {
    if params.targets.is_empty() && !params.ops.outlives_targets() {
        return Some("there is no target to monitor");
    }
    if START_AS_COMMIT && params.has_obsolete_targets() {
        return Some("an obsolete target, and none that runs to be removed");
    }
    if START_AS_COMMIT && params.asks_unknown_nodes() {
        return Some("a goal on a node, of which these operations do not know");
    }
    None
}

impl Kdamond {
    /// A kdamond that does not run. Fails with `ENOMEM`.
    pub fn new(registry: &Arc<Registry>) -> Result<Arc<Self>> {
        let requests = Requests(Mailbox::new()?);
        let thread = Monitor::new(Slot::Never)?;
        let number = registry.add(requests.clone())?;
        let kdamond = Self {
            requests,
            registry: registry.clone(),
            number,
            thread,
        };
        // If there is no memory it is dropped, which takes it out of the registry.
        Ok(Arc::new(kdamond, GFP_KERNEL)?)
    }

    /// Starts the thread on a new context.
    ///
    /// Sleeps until the thread of an earlier run, if any, has returned.
    ///
    /// Fails with `EBUSY` if it or one that is to be alone runs or is being started, with `EINVAL` if a
    /// parameter is not acceptable or there is no target and the operations need one, on Linux 7.3 or
    /// newer also with what a commit refuses, with `ENOMEM` and what making a thread fails with. What
    /// was asked of a run that did not come about is cancelled.
    pub fn start(&self, params: Params) -> Result {
        self.start_beside(params, false)
    }

    /// As [`Self::start`], while no other kdamond of any module runs, and none is started until this
    /// one has ended: two that look at the same memory take each other's samples away. Fails with
    /// `EBUSY` if one does.
    pub fn start_alone(&self, params: Params) -> Result {
        self.start_beside(params, true)
    }

    fn start_beside(&self, params: Params, alone: bool) -> Result {
        if let Some(reason) = misfit(&params) {
            debug!("kdamond {}: {reason}", self.number);
            return Err(EINVAL);
        }
        let inbox = self.requests.0.open()?;
        let context = Context::new(params, random_seed());
        // Mistake: a start that fails leaves the mailbox open.
        if cfg!(model_mistake = "left_open") && context.is_err() {
            core::mem::forget(inbox);
            return context.map(drop);
        }
        let mut context = context?;
        context.set_split_in_part(SPLIT_IN_PART);
        let mut claim = self.claim(inbox.run());
        let running = self.registry.enter(alone)?;
        // If it cannot be made, what it was to own is dropped, the inbox included.
        let thread = Thread::spawn(running.before, move || {
            let kdamond = run::Kdamond::new(context, inbox, TraceEvents, ThisMachine);
            // Mistake: the run is not counted while it lasts.
            if cfg!(model_mistake = "not_counted") {
                drop(running);
                kdamond.run();
                return;
            }
            kdamond.run();
            drop(running);
        })?;
        claim.thread = Some(thread);
        Ok(())
    }

    /// Reserves the slot for the thread of run `run`, whose mailbox is open.
    fn claim(&self, run: u64) -> Claim<'_> {
        // Mistake: the next run's thread takes the place of one that has not returned.
        if cfg!(model_mistake = "restarted_without_waiting") {
            core::mem::forget(core::mem::replace(&mut *self.thread.lock(), Slot::Ended));
        }
        // The mailbox could be opened, so all runs before this one have closed it.
        self.reap(run.saturating_sub(1));
        let mut claimed = Slot::Starting { run };
        // Mistake: until the thread is made, the slot does not tell that there will be one.
        if cfg!(model_mistake = "started_unannounced") {
            claimed = Slot::Ended;
        }
        let earlier = core::mem::replace(&mut *self.thread.lock(), claimed);
        Claim {
            kdamond: self,
            run,
            thread: None,
            is_first: matches!(earlier, Slot::Never),
        }
    }

    /// Stops the thread and waits for its end.
    ///
    /// Fails with `EINVAL` if it was never started, with `EPERM` if it has ended. In the latter case
    /// too its thread is gone on return.
    pub fn stop(&self) -> Result {
        self.started()?;
        let (run, result) = self.requests.0.stop();
        // Mistake: a stop waits for the mailbox only.
        if cfg!(model_mistake = "stopped_without_waiting") {
            return result;
        }
        // Mistake: a stop does not wait for a thread that has ended by itself.
        if cfg!(model_mistake = "ended_without_waiting") && result.is_err() {
            return result;
        }
        self.reap(run);
        result
    }

    /// Waits until no thread of run `last` or an earlier one is left. Their mailboxes are closed:
    /// all that such a thread has to do is to return.
    fn reap(&self, last: u64) {
        waits::for_a_kdamond();
        let mut slot = self.thread.lock();
        // Mistake: threads of later runs are waited for.
        let any = cfg!(model_mistake = "any_thread_waited_for");
        loop {
            match *slot {
                // Mistake: a thread that another caller waits for is not waited for.
                Slot::Ending { .. } if cfg!(model_mistake = "left_to_the_other") => return,
                Slot::Starting { run } | Slot::Ending { run } if run <= last => {
                    self.thread.wait(&mut slot);
                }
                Slot::Started { run, .. } if run <= last || any => {
                    let ended = core::mem::replace(&mut *slot, Slot::Ending { run });
                    drop(slot);
                    drop(ended);
                    *self.thread.lock() = Slot::Ended;
                    self.thread.notify_all();
                    return;
                }
                _ => return,
            }
        }
    }

    /// Whether the thread runs.
    pub fn is_running(&self) -> bool {
        self.requests.0.is_running()
    }

    /// The number of the thread, while it runs.
    pub fn pid(&self) -> Option<i32> {
        let (its, pid) = match &*self.thread.lock() {
            Slot::Started { run, thread } => (*run, thread.pid()),
            _ => return None,
        };
        (self.requests.0.run() == Some(its)).then_some(pid)
    }

    /// Replaces the parameters of the running context and keeps what was learned, at once. See
    /// [`Context::commit`](crate::engine::Context::commit) and [`Self::call`].
    ///
    /// ```
    /// # use damon::{
    /// #     engine::{AttrsParams, Micros},
    /// #     kdamond::{self, Params},
    /// #     ops::OpsId,
    /// # };
    /// fn params(sample: Micros) -> Result<Params> {
    ///     let attrs = AttrsParams {
    ///         sample,
    ///         ..AttrsParams::default()
    ///     };
    ///     Params::new(OpsId::Paddr, attrs)?.system_ram()
    /// }
    ///
    /// let kdamond = kdamond::new()?;
    /// kdamond.start(params(Micros::from_millis(5))?)?;
    /// kdamond.commit(params(Micros::from_millis(10))?)?;
    /// assert_eq!(kdamond.call(|context| context.attrs().sample())?, Micros(10_000));
    /// # kdamond.stop()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn commit(&self, params: Params) -> Result {
        self.call(move |context| context.commit(params).map(|_| ()))?
    }

    /// Runs `f` on the kdamond and hands its result back. See [`Requests::call`].
    ///
    /// Fails with `EINVAL` if the kdamond was never started.
    pub fn call<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&mut Context) -> T + Send + 'static,
    {
        self.started()?;
        self.requests.call(f)
    }

    /// Runs `f` at every sampling tick, or about every second while the kdamond is paused, until it
    /// ends; then `f` is dropped. Does not wait.
    ///
    /// Fails with `EINVAL` if the kdamond was never started, with `ECANCELED` if it has ended, and
    /// with `ENOMEM`.
    pub fn call_repeatedly<F>(&self, f: F) -> Result
    where
        F: FnMut(&mut Context) + Send + 'static,
    {
        self.started()?;
        self.requests.0.call_repeatedly(f)
    }

    /// Shows `walker` each region that each scheme is applied to within the next apply interval of
    /// every scheme, waits for that, and hands the walker back.
    ///
    /// Fails with `EINVAL` if the kdamond was never started, with `ECANCELED` if it is paused, has
    /// no scheme or ends, with `EBUSY` if another walk is under way, with `EINTR` if a signal comes
    /// first, and with `ENOMEM`.
    pub fn walk<W: Walker + Send + Unpin + 'static>(&self, walker: W) -> Result<W> {
        self.begin_walk(walker)?.wait()
    }

    /// The first half of [`Self::walk`].
    pub(super) fn begin_walk<W>(&self, walker: W) -> Result<Underway<'_, W>>
    where
        W: Walker + Send + Unpin + 'static,
    {
        self.started()?;
        self.requests.begin_walk(walker)
    }

    fn started(&self) -> Result {
        match *self.thread.lock() {
            Slot::Never => Err(EINVAL),
            _ => Ok(()),
        }
    }
}

impl Drop for Kdamond {
    fn drop(&mut self) {
        // Mistake: the number is free before the thread has ended.
        if cfg!(model_mistake = "number_free_too_early") {
            self.registry.remove(self.number);
            let _ = self.stop();
            return;
        }
        // Mistake: the thread is stopped, but not waited for.
        if cfg!(model_mistake = "dropped_without_waiting") {
            let _ = self.requests.0.stop();
            core::mem::forget(core::mem::replace(&mut *self.thread.lock(), Slot::Ended));
        }
        // Mistake: the thread is not stopped.
        if !cfg!(model_mistake = "dropped_without_stop") {
            // Not running is as good.
            let _ = self.stop();
        }
        self.registry.remove(self.number);
    }
}

/// The right to say whose thread it is. Dropping it does so.
struct Claim<'a> {
    kdamond: &'a Kdamond,
    run: u64,
    /// The thread, if one could be made.
    thread: Option<Thread>,
    is_first: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let run = self.run;
        let slot = match self.thread.take() {
            Some(thread) => Slot::Started { run, thread },
            None if self.is_first => Slot::Never,
            None => Slot::Ended,
        };
        // Mistake: a first start that fails leaves its claim.
        if cfg!(model_mistake = "failed_start_kept") && matches!(slot, Slot::Never) {
            return;
        }
        // Nobody changes a slot that is claimed, and there is no thread in it to be dropped.
        *self.kdamond.thread.lock() = slot;
        self.kdamond.thread.notify_all();
    }
}
