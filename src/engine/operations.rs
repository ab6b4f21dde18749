// SPDX-License-Identifier: GPL-2.0

//! The interface to an address space that is monitored.

use super::{
    pattern::{
        Action,
        Applied, //
    },
    probe::{
        PageAttributes,
        Probes, //
    },
    rand::Rng,
    regions::{
        rate::SampleWindow,
        region::{
            AddrRange,
            Region, //
        }, //
    },
    scheme::SchemeParams, //
};
use kernel::prelude::*;

/// The application of a scheme to a region.
pub struct Attempt<'a> {
    /// The scheme.
    pub scheme: &'a SchemeParams,
    /// A filter of the core layer has allowed the whole region, so that the filters of the
    /// operations layer do not apply.
    pub allowed: bool,
    /// The entity that an action was last applied to, for use by the operations layer. An entity
    /// such as a large folio may reach into the next region; this allows the operations to try it
    /// only once.
    ///
    /// There is one for each scheme. It is `None` at the start of each apply interval. Corresponds
    /// to `last_applied` of `struct damos`.
    pub last: &'a mut Option<usize>,
}

/// Sizes of memory in a region, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Eligible {
    /// All memory of the region.
    pub bytes: u64,
    /// The part on the requested node.
    pub on_node: u64,
}

/// The operations on an address space (C: `struct damon_operations`).
///
/// All methods run in process context and without locks held. They are called on the kdamond,
/// except for [`Self::min_region_sz`], [`Self::monitors`], [`Self::outlives_targets`] and
/// [`Self::supports_nodes`], which are also called on the thread that starts a kdamond. All may
/// sleep.
///
/// A method gets all regions of a target at once and in ascending order where it can. An
/// implementation can then take a reference or a lock, or look up a page table, once for many
/// regions.
pub trait Operations {
    /// The memory of one target, for example a process.
    type Space;

    /// Returns the smallest size of a region, in the unit of addresses. It must be a power of two;
    /// parameters with another value are rejected.
    fn min_region_sz(&self) -> u64;

    /// Returns whether a target may have this memory. Parameters with another target are rejected,
    /// so no other method is called for it.
    fn monitors(&self, space: &Self::Space) -> bool {
        let _ = space;
        true
    }

    /// Returns the ranges that a target should cover now, or `None` if the regions that the user
    /// has set remain valid.
    ///
    /// Called at the start for targets without regions, and at every operations update for all
    /// targets. After an error the target keeps its regions.
    fn ranges(&mut self, space: &Self::Space) -> Result<Option<KVec<AddrRange>>>;

    /// Returns an identifier of the memory of a target, `None` if it has none: the process has
    /// ended.
    ///
    /// A preparation in one target must not have an effect on a sample of another one with a
    /// different identifier, unless [`Self::sample`] takes care of it. Targets whose identifiers
    /// differ must not have the same one later. The opposite may happen: a process leaves the
    /// address space that it has shared. May sleep.
    fn memory(&self, space: &Self::Space) -> Option<usize>;

    /// Starts a pass. [`Self::sample`] is then called for targets in their order, and for none
    /// twice.
    fn begin_pass(&mut self) {}

    /// Passes over all regions of a target. For each region it does the following, in this order:
    ///
    /// - If the region has a sample ([`Region::sample`]) and [`Pass::probes`], it passes the page
    ///   of the sample to [`Pass::probe`].
    /// - If the region has a sample and [`Pass::checks`], it checks whether the page was accessed
    ///   and passes the result to [`Pass::record`].
    /// - If [`Pass::prepares`], it prepares a new sample. A region that still has a sample may keep
    ///   it.
    ///
    /// Regions without a sample must not be checked. An implementation must not allocate memory.
    ///
    /// No preparation may hide an access from a check later in the same pass ([`Pass::checks`]), in
    /// this target or another one. What cannot be prepared without that is left to the next pass of
    /// the tick by [`Pass::defer`].
    fn sample(&mut self, space: &Self::Space, regions: &mut [Region], pass: &mut Pass<'_>);

    /// Returns whether the target still exists.
    fn is_valid(&self, space: &Self::Space) -> bool;

    /// Returns whether monitoring continues without valid targets. `true` for an address space that
    /// does not end. The address space of a process does.
    fn outlives_targets(&self) -> bool {
        false
    }

    /// Returns whether each address in `space` refers to the same memory as in `old_space` under
    /// the operations `old`.
    ///
    /// Samples that were prepared before a commit are kept only in this case. `false`, the default,
    /// is always safe; its cost is one sample of each region.
    fn same_space(&self, space: &Self::Space, old: &Self, old_space: &Self::Space) -> bool {
        let _ = (space, old, old_space);
        false
    }

    /// Returns whether [`Self::apply`] supports `action`. A scheme with an unsupported action is
    /// counted and walked like any other, and resets the ages of its regions, but has no other
    /// effect.
    fn supports(&self, action: Action) -> bool {
        action == Action::Stat
    }

    /// Returns whether [`Self::apply`] has anything to do for a scheme, or to check. If not, it is
    /// not called.
    fn acts(&self, scheme: &SchemeParams) -> bool {
        self.supports(scheme.action)
    }

    /// Returns whether [`Self::eligible`] is implemented. If not, goals that need it are rejected
    /// by a commit.
    fn supports_nodes(&self) -> bool {
        false
    }

    /// Returns the size of the memory in a region, and the size of its part on the node `nid`. The
    /// latter is zero if there is no such node.
    ///
    /// Runs on the kdamond, in process context and without locks held. May sleep.
    fn eligible(&mut self, space: &Self::Space, region: &Region, nid: i32) -> Eligible {
        let _ = (space, region, nid);
        Eligible::default()
    }

    /// Applies a scheme's action to a region. Only called if [`Self::acts`].
    ///
    /// Runs on the kdamond, in process context and without locks held. May sleep. It delays the
    /// next access check.
    fn apply(&mut self, space: &Self::Space, region: &Region, attempt: Attempt<'_>) -> Applied {
        let _ = (space, region, attempt);
        Applied::default()
    }
}

/// A pass over the regions of a target, for [`Operations::sample`].
pub struct Pass<'a> {
    kind: PassKind,
    window: SampleWindow,
    probes: &'a Probes,
    rng: &'a mut Rng,
    /// A preparation was left to the next pass.
    deferred: bool,
}

/// The kind of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PassKind {
    Check,
    Prepare,
    CheckAndPrepare,
    /// For data attributes only. The caller has already picked the sampling addresses.
    Probe,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        kind: PassKind,
        window: SampleWindow,
        probes: &'a Probes,
        rng: &'a mut Rng,
    ) -> Self {
        Self {
            kind,
            window,
            probes,
            rng,
            deferred: false,
        }
    }

    /// Goes on with a target for which the kind of the pass is `kind`.
    pub(crate) fn begin_target(&mut self, kind: PassKind) {
        self.kind = kind;
        self.deferred = false;
    }

    /// Returns whether all regions of the target have got a sample.
    pub(crate) fn prepared_all(&self) -> bool {
        self.prepares() && !self.deferred
    }
}

impl Pass<'_> {
    /// Returns whether prepared samples are checked.
    #[inline]
    pub fn checks(&self) -> bool {
        matches!(self.kind, PassKind::Check | PassKind::CheckAndPrepare)
    }

    /// Returns whether new samples are prepared.
    #[inline]
    pub fn prepares(&self) -> bool {
        matches!(self.kind, PassKind::Prepare | PassKind::CheckAndPrepare)
    }

    /// Returns whether data attributes of the pages of samples are probed. This is the same for all
    /// regions of a pass, and `false` if there are no probes.
    #[inline]
    pub fn probes(&self) -> bool {
        !self.probes.is_empty() && self.kind != PassKind::Prepare
    }

    /// Applies all probes to the page of a region's sample; `None` means that there is no page.
    pub fn probe<P: PageAttributes>(&mut self, region: &mut Region, page: Option<&P>) {
        self.probes.count_hits(&self.window, region, page);
        if self.kind == PassKind::Probe {
            region.forget_sample();
        }
    }

    /// Counts the result of an access check, and consumes the sample. Does nothing if the region
    /// has no sample.
    #[inline]
    pub fn record(&mut self, region: &mut Region, accessed: bool) {
        region.record(&self.window, accessed);
    }

    /// Calls `accessed` with the sampling address and counts the result like [`Self::record`], if
    /// the region has a sample and [`Self::checks`].
    #[inline]
    pub fn check(&mut self, region: &mut Region, accessed: impl FnOnce(u64) -> bool) {
        if self.checks() {
            region.check(&self.window, accessed);
        }
    }

    /// Picks the next sampling address in the region at random, and marks it as prepared.
    #[inline]
    pub fn pick(&mut self, region: &mut Region) -> u64 {
        let addr = self.rng.range(region.start(), region.end());
        region.prepare(addr);
        addr
    }

    /// Takes the sample back that was picked last for the region, because it could not be prepared.
    /// The region gets one in the next pass of the tick that prepares. If there is none, it has no
    /// sample to be checked in the next tick, which counts like one without an access.
    pub fn defer(&mut self, region: &mut Region) {
        region.forget_sample();
        self.deferred = true;
    }
}
