// SPDX-License-Identifier: GPL-2.0

//! The result of a request: one side sends it exactly once, the other side waits for it.
//!
//! If a [`Reply`] is dropped without a result, the waiter receives a cancellation. Hence "every
//! request ends exactly once" follows from ownership: the code that takes a request out of the
//! mailbox owns its `Reply`, which can only disappear by ending the request.
//!
//! ```ignore
//! let (reply, waiter) = reply::pair()?;
//! register(request_with(reply))?;    // the kdamond calls `reply.send(result)`, or drops `reply`
//! let result = waiter.wait()?;       // sleeps; fails with ECANCELED if `reply` was dropped
//! ```
//!
//! A waiter that has to leave early takes its request back, unless it is being served: then it
//! waits for the result. Hence it always knows whether the request has taken effect.
//!
//! ```text
//!           begin               send
//!   Open ──────────► Underway ───────► Served
//!    │  │                │
//!    │  │ dropped        │ dropped
//!    │  └────────────────┴───────────► Cancelled
//!    │ waiter leaves
//!    └───────────────────────────────► Abandoned
//! ```

use super::{
    sync::WaitMutex,
    thread::{
        signals,
        waits, //
    }, //
};
use crate::errno::ecanceled;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The state of a request, as the two sides share it.
enum Outcome<T> {
    /// The request has not ended, and can be taken back.
    Open,
    /// The request is being served, and cannot be taken back any more.
    Underway,
    /// The request was served.
    Served(T),
    /// The request will not be served.
    Cancelled,
    /// The waiter has taken the request back.
    Abandoned,
}

/// The waiting side.
pub(crate) struct Waiter<T>(Arc<WaitMutex<Outcome<T>>>);

/// The sending side. Dropping it without a result cancels the request.
pub(crate) struct Reply<T: Unpin>(Arc<WaitMutex<Outcome<T>>>);

/// Creates the two sides for one request.
///
/// Fails with `ENOMEM`.
pub(crate) fn pair<T: Unpin>() -> Result<(Reply<T>, Waiter<T>)> {
    let shared = WaitMutex::new(Outcome::Open)?;
    Ok((Reply(shared.clone()), Waiter(shared)))
}

impl<T: Unpin> Waiter<T> {
    /// Sleeps until the request has ended, and returns the result. The caller must not be the
    /// kdamond that serves the request.
    ///
    /// Fails with `ECANCELED` if the request was cancelled. Fails with `EINTR` if the thread is
    /// being killed, and with `ERESTARTNOINTR` if it is to be frozen ([`signals::end_wait`]). In
    /// both cases the request was taken back and has no effect.
    pub(crate) fn wait(self) -> Result<T> {
        waits::for_a_kdamond();
        loop {
            let mut outcome = self.0.lock();
            match core::mem::replace(&mut *outcome, Outcome::Abandoned) {
                open @ (Outcome::Open | Outcome::Underway) => *outcome = open,
                Outcome::Served(value) => return Ok(value),
                Outcome::Cancelled | Outcome::Abandoned => return Err(ecanceled()),
            }
            if !self.0.wait_interruptible(&mut outcome) {
                continue;
            }
            // Mistake: a request that is being served is given up.
            let any = cfg!(model_mistake = "given_up_while_served");
            if matches!(*outcome, Outcome::Open) || any {
                if let Some(error) = signals::end_wait() {
                    *outcome = Outcome::Abandoned;
                    return Err(error);
                }
            }
            if matches!(*outcome, Outcome::Open | Outcome::Underway) {
                drop(outcome);
                signals::pause();
            }
        }
    }
}

impl<T: Unpin> Reply<T> {
    /// Notes that the request is being served, so that the waiter cannot take it back any more.
    /// Returns `false` if it has done so. In this case the request must not be served.
    pub(crate) fn begin(&self) -> bool {
        let mut outcome = self.0.lock();
        if matches!(*outcome, Outcome::Open) {
            *outcome = Outcome::Underway;
        }
        matches!(*outcome, Outcome::Underway)
    }

    /// Sends the result.
    pub(crate) fn send(self, value: T) {
        self.end(Outcome::Served(value));
    }

    /// Returns whether the waiter has left, so that the request need not be served.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(*self.0.lock(), Outcome::Abandoned)
    }

    fn end(&self, end: Outcome<T>) {
        let mut outcome = self.0.lock();
        let undelivered = match *outcome {
            Outcome::Open | Outcome::Underway => {
                *outcome = end;
                None
            }
            // Mistake: a request that was served is cancelled as well.
            Outcome::Served(_) if cfg!(model_mistake = "ended_twice") => {
                *outcome = end;
                None
            }
            _ => Some(end),
        };
        drop(outcome);
        self.0.notify_all();
        // Dropped without the lock held, because the destructor of a result may be any code.
        drop(undelivered);
    }
}

impl<T: Unpin> Drop for Reply<T> {
    fn drop(&mut self) {
        // Mistake: a request that is dropped does not end.
        if cfg!(model_mistake = "dropped_in_silence") {
            return;
        }
        // After `send` the request is not open any more, so this has no effect.
        self.end(Outcome::Cancelled);
    }
}
