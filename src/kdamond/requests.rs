// SPDX-License-Identifier: GPL-2.0

//! What can be asked of a kdamond.

use super::{
    mailbox::Mailbox,
    params::Context,
    reply::Waiter,
    walk, //
};
use crate::engine::Walker;
use kernel::prelude::*;

/// The way to ask a kdamond, without keeping it alive.
#[derive(Clone)]
pub struct Requests(pub(super) Mailbox<Context>);

/// A walk that was registered and not waited for yet.
pub(super) struct Underway<'a, W> {
    requests: &'a Requests,
    waiter: Waiter<W>,
}

impl<W: Unpin> Underway<'_, W> {
    /// Waits for the end of the walk. Fails with `ECANCELED` or `EINTR`.
    pub(super) fn wait(self) -> Result<W> {
        self.waiter.wait().inspect_err(|_| {
            // If it was a signal, the kdamond may still have the walk, and no other can begin.
            // Mistake: the kdamond is not told.
            if !cfg!(model_mistake = "abandoned_in_silence") {
                self.requests.0.wake();
            }
        })
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

    /// Registers a walk. Fails with `ECANCELED`, `EBUSY` and `ENOMEM`.
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
