// SPDX-License-Identifier: GPL-2.0

//! The owner's side of a kdamond: starts and stops it, and sends requests.
//!
//! A kdamond can be started again. Each run has a number, which is assigned when its mailbox is
//! opened ([`Mailbox::open`]), a thread, and a mailbox that is closed once and not opened again for
//! that run. Two states are separate:
//!
//! - Whether the kdamond runs is the state of the mailbox, and nothing else. Of two concurrent
//!   starts one opens the mailbox, and the other one fails because it is open.
//! - Which thread has to be waited for is the state of the [`Slot`]. After a mailbox was closed,
//!   the next run may be under way before the thread of the last one has returned. The number of
//!   the run distinguishes the two.
//!
//! ```text
//!                 start: mailbox is open, no earlier thread is left
//!   Never, Ended ───────────────────────────────────────────────────► Starting
//!        ▲                                                            │      │
//!        ├────────────────────────────────────────────────────────────┘      │
//!        │              no thread was created                                │ thread created
//!        │                                                                   ▼
//!        └──────────────── Ending ◄────────────────────────────────────── Started
//!          thread returned          stop, next start or drop, when the
//!                                   mailbox of this run is closed
//! ```
//!
//! The lock of the slot is only held for short critical sections, and no other lock is taken under
//! it. A task that waits for a thread has set [`Slot::Ending`] and does not hold the lock.

use super::{
    mailbox::Mailbox,
    metrics::KernelMetrics,
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
    sync::WaitMutex,
    thread::{
        random_seed,
        waits,
        Thread, //
    }, //
};
use crate::series::{
    SPLIT_IN_PART,
    START_AS_COMMIT, //
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

/// The slot for the thread of a kdamond.
enum Slot {
    /// No thread was created yet.
    Never,
    /// The thread of run `run` is being created.
    Starting { run: u64 },
    /// The thread of run `run`. It may have left its loop already.
    Started { run: u64, thread: Thread },
    /// Another task waits in `kthread_stop()` for the thread of run `run`.
    Ending { run: u64 },
    /// The last thread has returned.
    Ended,
}

/// A kdamond: not started yet, running, or ended. Dropping it stops the thread and sleeps until it
/// has returned.
///
/// A closure or walker that runs on a kdamond must not own the last reference to its `Kdamond`. The
/// drop on the kdamond deadlocks, because it waits for its own thread.
///
/// A `Kdamond` must not be leaked. Its thread runs code of this module, and of the modules that
/// have provided its closures, and holds no reference to any of them. Only the [`Drop`]
/// implementation guarantees that the thread has returned before that code is unloaded. It does not
/// run after `mem::forget()`, and neither in a reference cycle, such as a repeating call that owns
/// an `Arc<Kdamond>` of its own kdamond.
pub struct Kdamond {
    requests: Requests,
    registry: Arc<Registry>,
    number: usize,
    thread: Arc<WaitMutex<Slot>>,
}

/// Returns the reason for which a kdamond cannot start with these parameters, apart from those that
/// [`Context::new`] checks.
fn conflict(params: &Params) -> Option<&'static str> {
    if params.targets.is_empty() && !params.ops.outlives_targets() {
        return Some("no target to monitor");
    }
    if START_AS_COMMIT && params.has_obsolete_targets() {
        return Some("an obsolete target is only valid in a commit");
    }
    if START_AS_COMMIT && params.has_unsupported_goal() {
        return Some("these operations do not support a node_eligible_mem_bp goal");
    }
    None
}

impl Kdamond {
    /// Creates a kdamond that does not run. Fails with `ENOMEM`. May sleep.
    pub fn new(registry: &Arc<Registry>) -> Result<Arc<Self>> {
        let requests = Requests(Mailbox::new()?);
        let thread = WaitMutex::new(Slot::Never)?;
        let number = registry.add(requests.clone())?;
        let kdamond = Self {
            requests,
            registry: registry.clone(),
            number,
            thread,
        };
        // If the allocation fails, the kdamond is dropped, which removes it from the registry.
        Ok(Arc::new(kdamond, GFP_KERNEL)?)
    }

    /// Starts the thread with a new context.
    ///
    /// Sleeps until the thread of an earlier run, if any, has returned, and until the new thread
    /// has entered its function. Requests that were registered during a start that fails are
    /// cancelled.
    ///
    /// Fails with
    ///
    /// - `EBUSY` if this kdamond runs or is being started, or if another one runs that was started
    ///   with [`Self::start_alone`];
    /// - `EINVAL` if a parameter is invalid, or there is no target and the operations need one. On
    ///   Linux 7.3 or newer, this includes the parameters that a commit rejects;
    /// - `ENOMEM`, or the error of the creation of the thread.
    pub fn start(&self, params: Params) -> Result {
        self.start_beside(params, false)
    }

    /// Starts the thread like [`Self::start`], and fails with `EBUSY` if any other kdamond runs, of
    /// any module. No other kdamond is started until this one has ended. This is the behaviour of
    /// the in-tree modules.
    pub fn start_alone(&self, params: Params) -> Result {
        self.start_beside(params, true)
    }

    fn start_beside(&self, params: Params, alone: bool) -> Result {
        if let Some(reason) = conflict(&params) {
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
        // If the thread cannot be created, everything that it was to own is dropped, including the
        // inbox.
        let thread = Thread::spawn(running.before, move || {
            let kdamond = run::Kdamond::new(context, inbox, TraceEvents, KernelMetrics);
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

    /// Reserves the slot for the thread of run `run`. The mailbox must be open for that run.
    fn claim(&self, run: u64) -> Claim<'_> {
        // Mistake: the thread of the next run replaces one that has not returned.
        if cfg!(model_mistake = "restarted_without_waiting") {
            core::mem::forget(core::mem::replace(&mut *self.thread.lock(), Slot::Ended));
        }
        // The mailbox could be opened, so all earlier runs have closed it.
        self.reap(run.saturating_sub(1));
        let mut claimed = Slot::Starting { run };
        // Mistake: the slot does not announce a thread that is being created.
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

    /// Stops the thread and sleeps until it has returned. A call from the kdamond itself deadlocks.
    ///
    /// Fails with `EINVAL` if the kdamond was never started, and with `EPERM` if it has ended. In
    /// the latter case, too, the thread has returned.
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

    /// Sleeps until all threads of run `last` and earlier runs have returned. The mailboxes of
    /// these runs must be closed, so the threads only have to return.
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

    /// Returns whether the kdamond runs.
    pub fn is_running(&self) -> bool {
        self.requests.0.is_running()
    }

    /// Returns the PID of the thread in the initial PID namespace, while the kdamond runs.
    pub fn pid(&self) -> Option<i32> {
        let (its, pid) = match &*self.thread.lock() {
            Slot::Started { run, thread } => (*run, thread.pid()),
            _ => return None,
        };
        (self.requests.0.run() == Some(its)).then_some(pid)
    }

    /// Replaces the parameters of the running context and keeps the learned state. Takes effect
    /// immediately. See [`Context::commit`](crate::engine::Context::commit) and [`Self::call`], in
    /// particular for the context in which this may be called.
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

    /// Runs `f` on the kdamond and returns its result. Sleeps until `f` has returned. A call from
    /// the kdamond itself deadlocks. See [`Requests::call`].
    ///
    /// Also fails with `EINVAL` if the kdamond was never started.
    pub fn call<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&mut Context) -> T + Send + 'static,
    {
        self.started()?;
        self.requests.call(f)
    }

    /// Runs `f` on the kdamond at every sampling tick, or about every second while the kdamond is
    /// paused. `f` is dropped when the kdamond ends. Does not wait for the kdamond. May sleep.
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

    /// Calls `walker` for each region that each scheme is applied to in its next apply interval,
    /// and returns the walker. Sleeps until that has happened for every scheme. A call from the
    /// kdamond itself deadlocks.
    ///
    /// Fails with `EINVAL` if the kdamond was never started, with `ECANCELED` if it is paused, has
    /// no active scheme or ends, with `EBUSY` if another walk is under way, with `EINTR` or
    /// `ERESTARTNOINTR` if the thread is killed or is to be frozen before the walk has ended
    /// ([`Requests::call`]), and with `ENOMEM`.
    pub fn walk<W: Walker + Send + Unpin + 'static>(&self, walker: W) -> Result<W> {
        self.begin_walk(walker)?.wait()
    }

    /// The first half of [`Self::walk`]: registers the walk. May sleep.
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
        // Mistake: the number is freed before the thread has returned.
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
            // An error means that the kdamond does not run, which is sufficient.
            let _ = self.stop();
        }
        self.registry.remove(self.number);
    }
}

/// The right to fill the slot of a kdamond. Dropping it does so.
struct Claim<'a> {
    kdamond: &'a Kdamond,
    run: u64,
    /// The thread, if it was created.
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
        // Mistake: a first start that fails leaves its claim in the slot.
        if cfg!(model_mistake = "failed_start_kept") && matches!(slot, Slot::Never) {
            return;
        }
        // A claimed slot is not changed by other code, and contains no thread that would be dropped
        // under the lock.
        *self.kdamond.thread.lock() = slot;
        self.kdamond.thread.notify_all();
    }
}
