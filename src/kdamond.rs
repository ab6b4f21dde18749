// SPDX-License-Identifier: GPL-2.0

//! The kdamond: the thread that owns a monitoring context, and the ways to ask it for something.
//!
//! This layer brings the algorithms ([`crate::engine`]) and the address spaces ([`crate::ops`])
//! together, and decides what is due when ([`run`], [`schedule`]). A context is moved into its
//! thread at start; from then on it is reached by requests only ([`mailbox`]).
//!
//! Every function that waits for a kdamond is to be called without any lock that a store to a
//! file of the sysfs tree may need.

mod mailbox;
mod moment;
mod registry;
mod reply;
mod run;
mod schedule;
mod sync;
mod thread;

pub use registry::Registry;
pub(crate) use reply::ecanceled;
pub(crate) use thread::bell::now;
use thread::random_seed;

use crate::{
    debug,
    engine::{
        self,
        Walker, //
    },
    ops::AnyOps,
    trace::TraceEvents, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use mailbox::{
    Mailbox,
    Walk, //
};
use reply::Reply;
use thread::{
    bell,
    Thread, //
};

/// The context of a kdamond.
pub type Context = engine::Context<AnyOps>;

/// What a context is made of, or changed to.
pub type Params = engine::Params<AnyOps>;

/// The way to ask a kdamond, without keeping it alive.
#[derive(Clone)]
pub struct Requests(Mailbox<Context, dyn Walker>);

enum Slot {
    /// It was never started.
    Never,
    /// The thread, running or at its end.
    Started(Thread),
    /// The thread is gone.
    Ended,
}

/// A kdamond: running, not yet, or not any more. Dropping it stops it.
#[pin_data(PinnedDrop)]
pub struct Kdamond {
    requests: Requests,
    registry: Arc<Registry>,
    number: usize,
    /// Held for moments only, never while waiting for the thread.
    #[pin]
    thread: Mutex<Slot>,
}

impl Kdamond {
    /// A kdamond that does not run. Fails with `ENOMEM`.
    pub fn new(registry: &Arc<Registry>) -> Result<Arc<Self>> {
        let requests = Requests(Mailbox::new()?);
        let number = registry.add(requests.clone())?;
        let registry_ref = registry.clone();
        let kdamond = Arc::pin_init(
            pin_init!(Self {
                requests,
                registry: registry_ref,
                number,
                thread <- new_mutex!(Slot::Never, "damon_kdamond"),
            }),
            GFP_KERNEL,
        );
        if kdamond.is_err() {
            registry.remove(number);
        }
        kdamond
    }

    /// Starts the thread on a new context.
    ///
    /// Fails with `EBUSY` if it runs, with `EINVAL` if a parameter is not acceptable or there is no
    /// target, with `ENOMEM` and what making a thread fails with.
    pub fn start(&self, params: Params) -> Result {
        if params.targets.is_empty() {
            debug!("kdamond {}: there is no target to monitor", self.number);
            return Err(EINVAL);
        }
        let inbox = self.requests.0.open()?;
        let context = Context::new(params, random_seed())?;
        let running = self.registry.enter();
        let number = running.before;

        // A thread that is left from an earlier run has closed its mailbox: all it has to do is to
        // return. Waiting for that needs no lock.
        let earlier = core::mem::replace(&mut *self.thread.lock(), Slot::Ended);
        drop(earlier);

        let thread = Thread::spawn(number, move || {
            run::Kdamond::new(context, inbox, TraceEvents).run();
            drop(running);
        })?;
        *self.thread.lock() = Slot::Started(thread);
        Ok(())
    }

    /// Stops the thread and waits for its end.
    ///
    /// Fails with `EINVAL` if it was never started, with `EPERM` if it has ended.
    pub fn stop(&self) -> Result {
        self.started()?;
        self.requests.0.stop()?;
        self.reap();
        Ok(())
    }

    /// Waits for a thread that has closed its mailbox.
    fn reap(&self) {
        let mut slot = self.thread.lock();
        let ended = match *slot {
            // Another run may have begun meanwhile. That one is not ours to wait for.
            Slot::Started(_) if !self.is_running() => core::mem::replace(&mut *slot, Slot::Ended),
            _ => return,
        };
        drop(slot);
        drop(ended);
    }

    /// Whether the thread runs.
    pub fn is_running(&self) -> bool {
        self.requests.0.is_running()
    }

    /// The number of the thread, while it runs.
    pub fn pid(&self) -> Option<i32> {
        match &*self.thread.lock() {
            Slot::Started(thread) if self.is_running() => Some(thread.pid()),
            _ => None,
        }
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

    /// Runs `f` at every sampling tick until the kdamond ends; then `f` is dropped. Does not wait.
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
        self.started()?;
        let (reply, waiter) = reply::pair()?;
        let request: KBox<dyn Walk<dyn Walker>> = KBox::new(
            WalkRequest {
                parts: Some((walker, reply)),
            },
            GFP_KERNEL,
        )?;
        self.requests.0.register_walk(request)?;
        waiter.wait().inspect_err(|_| {
            // If it was a signal, the kdamond may still have the walk, and no other can begin.
            self.requests.0.wake();
        })
    }

    fn started(&self) -> Result {
        match *self.thread.lock() {
            Slot::Never => Err(EINVAL),
            _ => Ok(()),
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Kdamond {
    fn drop(self: Pin<&mut Self>) {
        // Not running is as good.
        let _ = self.requests.0.stop();
        self.reap();
        self.registry.remove(self.number);
    }
}

impl Requests {
    /// Runs `f` on the kdamond, at once and whatever its sampling interval, and hands the result
    /// back.
    ///
    /// Fails with `ECANCELED` if the kdamond does not run or ends first, with `EINTR` if a signal
    /// comes first, and with `ENOMEM`.
    pub fn call<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&mut Context) -> T + Send + 'static,
    {
        self.0.call(f)
    }
}

struct WalkRequest<W: Unpin> {
    /// Both are there until the walk is finished.
    parts: Option<(W, Reply<W>)>,
}

impl<W: Walker + Send + Unpin + 'static> Walk<dyn Walker> for WalkRequest<W> {
    fn visitor(&mut self) -> Option<&mut (dyn Walker + 'static)> {
        self.parts
            .as_mut()
            .map(|(walker, _)| walker as &mut (dyn Walker + 'static))
    }

    fn finish(&mut self) {
        if let Some((walker, reply)) = self.parts.take() {
            reply.send(walker);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.parts
            .as_ref()
            .is_none_or(|(_, reply)| reply.is_abandoned())
    }
}
