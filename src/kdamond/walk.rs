// SPDX-License-Identifier: GPL-2.0

//! A walk as the mailbox carries it: who is shown the regions, and who waits for that.

use super::{
    mailbox::Walk,
    reply::{
        self,
        Reply,
        Waiter, //
    },
};
use crate::engine::Walker;
use kernel::prelude::*;

/// A walk on its way to the kdamond.
pub(crate) type Request = KBox<dyn Walk<dyn Walker>>;

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
