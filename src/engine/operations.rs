// SPDX-License-Identifier: GPL-2.0

//! What an address space has to be able to do to be monitored.

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

/// What is to be applied to a region.
pub struct Attempt<'a> {
    /// The scheme.
    pub scheme: &'a SchemeParams,
    /// Whether a filter of the core layer has allowed the whole region. The operations do not ask
    /// theirs then.
    pub allowed: bool,
    /// For the operations to note which entity they were at last, such as a folio that reaches
    /// into the next region, so that none is tried twice. One for each scheme, and nothing at the
    /// beginning of each of its intervals.
    pub last: &'a mut Option<usize>,
}

/// Memory in a region, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Eligible {
    /// All of it.
    pub bytes: u64,
    /// What is on the node that was asked for.
    pub on_node: u64,
}

/// What an address space can do.
///
/// The engine hands over a whole target at a time with its regions in ascending order, so that an
/// implementation can take a reference, a lock or a place in a page table once for many regions.
pub trait Operations {
    /// Names the memory of one target, e.g. a process.
    type Space;

    /// Smallest size of a region in the unit of addresses; a power of two.
    fn min_region_sz(&self) -> u64;

    /// The ranges that a target should cover now, or `None` where the regions that the user has
    /// set stand.
    ///
    /// Asked at the start for targets without regions, and at every operations update for all. An
    /// error leaves the target's regions as they are.
    fn ranges(&mut self, space: &Self::Space) -> Result<Option<KVec<AddrRange>>>;

    /// Passes over all regions of a target, in this order at each: if it has a sample
    /// ([`Region::sample`]), shows the page of that to [`Pass::probe`] if [`Pass::probes`], and
    /// looks whether it was accessed and tells [`Pass::record`] if [`Pass::checks`]; then prepares a
    /// new one, if [`Pass::prepares`]. A region that still has one then may keep it.
    ///
    /// Allocates nothing. A region without a sample is not to be looked at.
    fn sample(&mut self, space: &Self::Space, regions: &mut [Region], pass: &mut Pass<'_>);

    /// Whether the target still exists.
    fn is_valid(&self, space: &Self::Space) -> bool;

    /// Whether monitoring goes on whatever becomes of its targets, even without any: they are no
    /// processes, which end.
    fn outlives_targets(&self) -> bool {
        false
    }

    /// Whether an address of `space` names the same memory as it did of `old_space` when `old`
    /// were the operations.
    ///
    /// Samples that were prepared before a commit can be checked after it only if so. The answer
    /// here is always safe: it costs one sample of each region.
    fn same_space(&self, space: &Self::Space, old: &Self, old_space: &Self::Space) -> bool {
        let _ = (space, old, old_space);
        false
    }

    /// Whether [`Self::apply`] can do something for `action`. A scheme with another one is counted
    /// and walked as any, but changes nothing.
    fn supports(&self, action: Action) -> bool {
        action == Action::Stat
    }

    /// Whether [`Self::apply`] has anything to do for a scheme, or to look at. It is not called if
    /// not.
    fn acts(&self, scheme: &SchemeParams) -> bool {
        self.supports(scheme.action)
    }

    /// Whether [`Self::eligible`] can tell anything. Goals for it are refused in a commit if not.
    fn knows_nodes(&self) -> bool {
        false
    }

    /// How much memory there is in a region, and how much of it on the node with this number: on
    /// none if there is no such node.
    fn eligible(&mut self, space: &Self::Space, region: &Region, nid: i32) -> Eligible {
        let _ = (space, region, nid);
        Eligible::default()
    }

    /// Applies a scheme's action to a region. Called if [`Self::acts`] only.
    fn apply(&mut self, space: &Self::Space, region: &Region, attempt: Attempt<'_>) -> Applied {
        let _ = (space, region, attempt);
        Applied::default()
    }
}

/// A pass over the regions of a target, handed to [`Operations::sample`].
pub struct Pass<'a> {
    kind: PassKind,
    window: SampleWindow,
    probes: &'a Probes,
    rng: &'a mut Rng,
}

/// What a pass is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PassKind {
    Check,
    Prepare,
    CheckAndPrepare,
    /// For data attributes only. Samples are where the engine has put them.
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
        }
    }
}

impl Pass<'_> {
    /// Whether prepared samples are to be checked.
    #[inline]
    pub fn checks(&self) -> bool {
        matches!(self.kind, PassKind::Check | PassKind::CheckAndPrepare)
    }

    /// Whether new samples are to be prepared.
    #[inline]
    pub fn prepares(&self) -> bool {
        matches!(self.kind, PassKind::Prepare | PassKind::CheckAndPrepare)
    }

    /// Whether the pages of samples are to be probed for data attributes. The same for all regions
    /// of a pass, and never if there are no probes.
    #[inline]
    pub fn probes(&self) -> bool {
        !self.probes.is_empty() && self.kind != PassKind::Prepare
    }

    /// Asks the probes about the page of a region's sample, `None` if there is none.
    pub fn probe<P: PageAttributes>(&mut self, region: &mut Region, page: Option<&P>) {
        self.probes.look_at(&self.window, region, page);
        if self.kind == PassKind::Probe {
            region.forget_sample();
        }
    }

    /// Counts the outcome of a region's sample, and uses the sample up. Without a prepared sample
    /// nothing is counted.
    #[inline]
    pub fn record(&mut self, region: &mut Region, accessed: bool) {
        region.record(&self.window, accessed);
    }

    /// Asks whether the address of a region's sample was accessed, if it has one and samples are to be
    /// checked, and counts that as [`Self::record`] does.
    #[inline]
    pub fn check(&mut self, region: &mut Region, accessed: impl FnOnce(u64) -> bool) {
        if self.checks() {
            region.check(&self.window, accessed);
        }
    }

    /// Picks the next sampling address in the region at random, and marks it prepared.
    #[inline]
    pub fn pick(&mut self, region: &mut Region) -> u64 {
        let addr = self.rng.range(region.start(), region.end());
        region.prepare(addr);
        addr
    }
}
