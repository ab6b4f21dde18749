// SPDX-License-Identifier: GPL-2.0

//! The interfaces through which monitoring reports its results: trace events and walks.

use super::{
    attrs::Micros,
    regions::region::{
        ProbeHits,
        Region, //
    },
    scheme::Stat, //
};

/// A sink of trace events.
///
/// All methods are called on the kdamond, in process context and without locks held. They may
/// sleep.
pub trait Events {
    /// Returns whether [`Self::aggregated`] has a listener.
    fn aggregated_enabled(&self) -> bool;

    /// Reports the results of the last complete aggregation window ([`Region::last_nr_accesses`],
    /// [`Region::last_probe_hits`]) for one of the `nr_regions` regions of a target. `target` is
    /// the index of the target.
    fn aggregated(&mut self, target: usize, nr_regions: usize, region: &Region, nr_probes: usize);

    /// Reports the sampling interval that a tuning step has chosen. It is unchanged if a limit of
    /// the goal does not allow for another one.
    fn tuned(&mut self, sample: Micros);

    /// Returns whether [`Self::before_apply`] has a listener.
    fn before_apply_enabled(&self) -> bool {
        false
    }

    /// Reports that a scheme's action is about to be tried on one of the `nr_regions` regions of a
    /// target. `scheme` and `target` are indices.
    ///
    /// `nr_accesses` is the access rate that the scheme has selected the region by
    /// ([`Region::recent_nr_accesses`]). `hits` are the hits of each probe in the current
    /// aggregation window or, if a window has just ended, in that window.
    fn before_apply(
        &mut self,
        scheme: usize,
        target: usize,
        nr_regions: usize,
        region: &Region,
        nr_accesses: u32,
        hits: &ProbeHits,
    ) {
        let _ = (scheme, target, nr_regions, region, nr_accesses, hits);
    }

    /// Reports the effective size quota of a scheme at the start of a charge window, in the unit of
    /// addresses. `scheme` is the index of the scheme.
    fn effective_quota(&mut self, scheme: usize, effective: u64) {
        let _ = (scheme, effective);
    }

    /// Reports the statistics of a scheme at the end of an apply interval. `scheme` is the index of
    /// the scheme.
    fn after_interval(&mut self, scheme: usize, stat: &Stat) {
        let _ = (scheme, stat);
    }
}

/// A region that a scheme's action was tried on.
pub struct Tried<'a> {
    /// Index of the target.
    pub target: usize,
    /// Index of the scheme.
    pub scheme: usize,
    /// The region.
    pub region: &'a Region,
    /// The access rate that the scheme has selected the region by: accesses in the latest
    /// aggregation interval.
    pub nr_accesses: u32,
    /// Hits of each of the context's probes in the time of the latest aggregation interval.
    pub probe_hits: &'a [u8],
    /// Size of the part that passed the filters of the operations layer, in the unit of addresses.
    pub sz_filter_passed: u64,
}

/// A visitor of the regions that schemes are applied to.
pub trait Walker {
    /// Called for each region that a scheme is applied to, right after the scheme's action was
    /// tried on the region.
    ///
    /// Runs on the kdamond, in process context and without locks held. May sleep; monitoring waits
    /// for it.
    fn visit(&mut self, tried: &Tried<'_>);
}
