// SPDX-License-Identifier: GPL-2.0

//! What a user asks for, at the start of a context or in a commit to a running one.

use super::{
    attrs::Attrs,
    operations::Operations,
    probe::Probes,
    regions::region::AddrRange,
    scheme::SchemeParams, //
};
use kernel::prelude::*;

/// A target as the user states it.
pub struct TargetParams<S> {
    /// The memory that is meant.
    pub space: S,
    /// In a commit: the running target at the same position is to be removed.
    pub obsolete: bool,
    /// What to monitor of it; empty to leave that to the operations, or in a commit as it is.
    pub regions: KVec<AddrRange>,
}

/// All parameters of a context.
pub struct Params<O: Operations> {
    /// What the targets' address space can do.
    pub ops: O,
    /// Monitoring attributes.
    pub attrs: Attrs,
    /// Data attributes to probe for. A commit matches them with the running ones by position.
    pub probes: Probes,
    /// Whether monitoring is to stand still.
    pub pause: bool,
    /// The targets. A commit matches them with the running ones by position.
    pub targets: KVec<TargetParams<O::Space>>,
    /// The schemes. A commit matches them with the running ones by position.
    pub schemes: KVec<SchemeParams>,
}

impl<O: Operations> Params<O> {
    /// Whether a target is one that only a commit can be about.
    pub fn has_obsolete_targets(&self) -> bool {
        self.targets.iter().any(|target| target.obsolete)
    }

    /// Whether a goal asks about a node, of which the operations do not know.
    pub fn asks_unknown_nodes(&self) -> bool {
        !self.ops.knows_nodes() && self.schemes.iter().any(|scheme| scheme.quota.needs_nodes())
    }
}
