// SPDX-License-Identifier: GPL-2.0

//! The interfaces through which monitoring reports: trace events, and walks.

use super::{
    attrs::Micros,
    regions::region::{
        ProbeHits,
        Region, //
    },
    scheme::Stat, //
};

/// A sink of trace events.
pub trait Events {
    /// Whether somebody listens to [`Self::aggregated`].
    fn aggregated_enabled(&self) -> bool;

    /// The results of the last aggregation window ([`Region::last_nr_accesses`],
    /// [`Region::last_probe_hits`]) for one of the `nr_regions` regions of a target, which is named
    /// by its index.
    fn aggregated(&mut self, target: usize, nr_regions: usize, region: &Region, nr_probes: usize);

    /// The sampling interval that tuning has come to, another than before or not.
    fn tuned(&mut self, sample: Micros);

    /// Whether somebody listens to [`Self::before_apply`].
    fn before_apply_enabled(&self) -> bool {
        false
    }

    /// A scheme's action is about to be tried on one of the `nr_regions` regions of a target, both
    /// named by their index. `hits` are those of each probe in the current aggregation window, or
    /// the last one at its end.
    fn before_apply(
        &mut self,
        scheme: usize,
        target: usize,
        nr_regions: usize,
        region: &Region,
        hits: &ProbeHits,
    ) {
        let _ = (scheme, target, nr_regions, region, hits);
    }

    /// What a scheme may act on in the window that begins, in the unit of addresses.
    fn effective_quota(&mut self, scheme: usize, effective: u64) {
        let _ = (scheme, effective);
    }

    /// What a scheme has done so far, at the end of one of its intervals.
    fn after_interval(&mut self, scheme: usize, stat: &Stat) {
        let _ = (scheme, stat);
    }
}

/// A scheme's action was tried on a region.
pub struct Tried<'a> {
    /// Index of the target.
    pub target: usize,
    /// Index of the scheme.
    pub scheme: usize,
    /// The region.
    pub region: &'a Region,
    /// Hits of each of the context's probes within the last aggregation interval's time.
    pub probe_hits: &'a [u8],
    /// Bytes of it that passed the filters that the operations look at.
    pub sz_filter_passed: u64,
}

/// Somebody who looks on.
pub trait Walker {
    /// Called for each region and scheme, right after the scheme's action was tried on the region.
    fn visit(&mut self, tried: &Tried<'_>);
}
