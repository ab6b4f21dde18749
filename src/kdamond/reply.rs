// SPDX-License-Identifier: GPL-2.0

//! The answer to a request: one side waits for it, the other gives it exactly once.
//!
//! A [`Reply`] that is dropped without an answer tells the waiter that the request was cancelled.
//! That makes "every request ends exactly once" a matter of ownership: whoever takes a request out
//! of the mailbox owns its `Reply`, and there is no way to lose it but to end it.

use super::{
    sync::Monitor,
    thread::waits, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};

/// `ECANCELED`, which the kernel crate has no name for.
pub(crate) fn ecanceled() -> Error {
    i32::try_from(bindings::ECANCELED).map_or(EINVAL, |errno| Error::from_errno(-errno))
}

/// What a waiter can find.
enum Outcome<T> {
    /// Nobody has answered.
    Open,
    /// The request was served.
    Served(T),
    /// The request will not be served.
    Cancelled,
    /// The waiter went away, an answer would reach nobody.
    Abandoned,
}

/// The side that waits.
pub(crate) struct Waiter<T>(Arc<Monitor<Outcome<T>>>);

/// The side that answers, once. Dropping it cancels the request.
pub(crate) struct Reply<T: Unpin>(Arc<Monitor<Outcome<T>>>);

/// Makes the two sides of one answer.
///
/// Fails with `ENOMEM`.
pub(crate) fn pair<T: Unpin>() -> Result<(Reply<T>, Waiter<T>)> {
    let shared = Monitor::new(Outcome::Open)?;
    Ok((Reply(shared.clone()), Waiter(shared)))
}

impl<T: Unpin> Waiter<T> {
    /// Sleeps until the request has ended.
    ///
    /// Fails with `ECANCELED` if it was cancelled, and with `EINTR` if a signal came first. In the
    /// latter case the request may still be served later, its result is dropped.
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
    /// Answers.
    pub(crate) fn send(self, value: T) {
        self.end(Outcome::Served(value));
    }

    /// Whether the waiter went away, so that serving the request is of no use.
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
        // What nobody waits for is dropped outside of the lock: its destructor may be anything.
        drop(undelivered);
    }
}

impl<T: Unpin> Drop for Reply<T> {
    fn drop(&mut self) {
        // Mistake: a request that is dropped does not end.
        if cfg!(model_mistake = "dropped_in_silence") {
            return;
        }
        // After `send` the outcome is not open any more and this changes nothing.
        self.end(Outcome::Cancelled);
    }
}
