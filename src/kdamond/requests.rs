// SPDX-License-Identifier: GPL-2.0

//! Requests to a kdamond.

use super::{
    mailbox::Mailbox,
    params::Context,
    reply::Waiter,
    walk, //
};
use crate::engine::Walker;
use kernel::prelude::*;

/// A handle for requests to a kdamond. It does not keep the kdamond alive.
#[derive(Clone)]
pub struct Requests(pub(super) Mailbox<Context>);

/// A walk that was registered, and that the caller has not waited for yet.
pub(super) struct Underway<'a, W> {
    requests: &'a Requests,
    waiter: Waiter<W>,
}

impl<W: Unpin> Underway<'_, W> {
    /// Sleeps until the walk has ended. Fails with `ECANCELED`, `EINTR` or `ERESTARTNOINTR`, see
    /// [`Waiter::wait`].
    pub(super) fn wait(self) -> Result<W> {
        self.waiter.wait().inspect_err(|_| {
            // The kdamond may still have the walk that was taken back, which blocks other walks. It
            // finds out once it is woken up.
            // Mistake: the kdamond is not woken up.
            if !cfg!(model_mistake = "abandoned_in_silence") {
                self.requests.0.wake();
            }
        })
    }
}

impl Requests {
    /// Runs `f` on the kdamond, independently of its sampling interval, and returns the result.
    ///
    /// Wakes up the kdamond and sleeps until `f` has returned. A call from the kdamond itself
    /// deadlocks, because it waits for its own thread. Must be called in process context, without
    /// locks that a kdamond takes.
    ///
    /// Fails with `ECANCELED` if the kdamond does not run or ends before it has served the call,
    /// with `EINTR` if the thread is killed before that, with `ERESTARTNOINTR` if it is to be
    /// frozen before that, and with `ENOMEM`. After an error `f` is not run. A system call must
    /// return `ERESTARTNOINTR` as it is: it is repeated then.
    pub fn call<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&mut Context) -> T + Send + 'static,
    {
        self.0.call(f)
    }

    /// Registers a walk. Fails with `ECANCELED`, `EBUSY` or `ENOMEM`. May sleep.
    pub(super) fn begin_walk<W>(&self, walker: W) -> Result<Underway<'_, W>>
    where
        W: Walker + Send + Unpin + 'static,
    {
        let (request, waiter) = walk::pair(walker)?;
        self.0.register_walk(request)?;
        Ok(Underway {
            requests: self,
            waiter,
        })
    }
}
