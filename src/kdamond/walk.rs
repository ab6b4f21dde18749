// SPDX-License-Identifier: GPL-2.0

//! A walk in the mailbox: the walker, and the reply to its caller.

use super::reply::{
    self,
    Reply,
    Waiter, //
};
use crate::engine::Walker;
use kernel::prelude::*;

/// A request to visit the regions that each scheme is applied to, as the kdamond owns it.
pub(crate) trait Walk: Send {
    /// Returns the walker; `None` after the walk was finished.
    fn visitor(&mut self) -> Option<&mut (dyn Walker + 'static)>;

    /// Completes the request: all regions were visited.
    fn finish(&mut self);

    /// Returns whether the caller has abandoned the request.
    fn is_abandoned(&self) -> bool;
}

/// A walk that is registered, or that the kdamond has taken out.
pub(crate) type Request = KBox<dyn Walk>;

struct WalkRequest<W: Unpin> {
    /// `None` after the walk was finished.
    parts: Option<(W, Reply<W>)>,
}

/// Creates a walk from `walker`, and the side that waits for the walker's return.
///
/// Fails with `ENOMEM`.
pub(crate) fn pair<W>(walker: W) -> Result<(Request, Waiter<W>)>
where
    W: Walker + Send + Unpin + 'static,
{
    let (reply, waiter) = reply::pair()?;
    let request = KBox::new(
        WalkRequest {
            parts: Some((walker, reply)),
        },
        GFP_KERNEL,
    )?;
    Ok((request, waiter))
}

impl<W: Walker + Send + Unpin + 'static> Walk for WalkRequest<W> {
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
