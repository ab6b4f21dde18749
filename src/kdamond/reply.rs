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

use super::{
    sync::WaitMutex,
    thread::waits, //
};
use crate::errno::ecanceled;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The state of a request, as the two sides share it.
enum Outcome<T> {
    /// The request has not ended.
    Open,
    /// The request was served.
    Served(T),
    /// The request will not be served.
    Cancelled,
    /// The waiter has left, so that a result would be dropped.
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
    /// Fails with `ECANCELED` if the request was cancelled, and with `EINTR` if a signal is
    /// received before it has ended. In the latter case the request may still be served, and its
    /// result is dropped.
    pub(crate) fn wait(self) -> Result<T> {
        waits::for_a_kdamond();
        let mut outcome = self.0.lock();
        loop {
            match core::mem::replace(&mut *outcome, Outcome::Abandoned) {
                Outcome::Open => *outcome = Outcome::Open,
                Outcome::Served(value) => return Ok(value),
                Outcome::Cancelled | Outcome::Abandoned => return Err(ecanceled()),
            }
            if self.0.wait_interruptible(&mut outcome) && matches!(*outcome, Outcome::Open) {
                *outcome = Outcome::Abandoned;
                return Err(EINTR);
            }
        }
    }
}

impl<T: Unpin> Reply<T> {
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
            Outcome::Open => {
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
