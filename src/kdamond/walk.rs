// SPDX-License-Identifier: GPL-2.0

//! A walk as the mailbox carries it: who is shown the regions, and who waits for that.

use super::reply::{
    self,
    Reply,
    Waiter, //
};
use crate::engine::Walker;
use kernel::prelude::*;

/// A request to visit the regions that each scheme is applied to, as the kdamond holds it.
pub(crate) trait Walk: Send {
    /// The visitor of the regions; `None` once the walk is finished.
    fn visitor(&mut self) -> Option<&mut (dyn Walker + 'static)>;

    /// Completes the request: all regions were visited.
    fn finish(&mut self);

    /// Whether the caller has given the request up.
    fn is_abandoned(&self) -> bool;
}

/// A walk on its way to the kdamond.
pub(crate) type Request = KBox<dyn Walk>;

struct WalkRequest<W: Unpin> {
    /// Both are there until the walk is finished.
    parts: Option<(W, Reply<W>)>,
}

/// Makes a walk of `walker`, and the side that waits until it gets it back.
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
