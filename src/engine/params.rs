// SPDX-License-Identifier: GPL-2.0

//! The parameters of a context, for its start or for a commit to a running one.

use super::{
    attrs::Attrs,
    operations::Operations,
    probe::Probes,
    regions::region::AddrRange,
    scheme::SchemeParams, //
};
use kernel::prelude::*;

/// The parameters of a target.
pub struct TargetParams<S> {
    /// The memory of the target.
    pub space: S,
    /// In a commit: the running target with the same index is to be removed.
    pub obsolete: bool,
    /// The ranges to monitor. If empty, the operations decide, or in a commit the target keeps its
    /// regions.
    pub regions: KVec<AddrRange>,
}

/// All parameters of a context.
pub struct Params<O: Operations> {
    /// The operations on the targets' address space.
    pub ops: O,
    /// The monitoring attributes.
    pub attrs: Attrs,
    /// The probes for data attributes. A commit matches them with the running ones by index.
    pub probes: Probes,
    /// Monitoring is to be paused.
    pub pause: bool,
    /// The targets. A commit matches them with the running ones by index.
    pub targets: KVec<TargetParams<O::Space>>,
    /// The schemes. A commit matches them with the running ones by index.
    pub schemes: KVec<SchemeParams>,
}

impl<O: Operations> Params<O> {
    /// Returns whether a target is obsolete, which is only valid in a commit.
    pub fn has_obsolete_targets(&self) -> bool {
        self.targets.iter().any(|target| target.obsolete)
    }

    /// Returns whether the operations do not monitor the memory of a target. Such parameters are
    /// rejected by a start and by a commit.
    pub(crate) fn has_foreign_targets(&self) -> bool {
        !self
            .targets
            .iter()
            .all(|target| self.ops.monitors(&target.space))
    }

    /// Returns whether a goal needs [`Operations::eligible`] and the operations do not implement
    /// it.
    pub fn has_unsupported_goal(&self) -> bool {
        !self.ops.supports_nodes() && self.schemes.iter().any(|scheme| scheme.quota.needs_nodes())
    }
}
