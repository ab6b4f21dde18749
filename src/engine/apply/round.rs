// SPDX-License-Identifier: GPL-2.0

//! Applies the due schemes to the regions of one target.

use super::super::{
    attrs::Attrs,
    events::{
        Events,
        Tried,
        Walker, //
    },
    filter::verdict::VerdictCache,
    metrics::SystemMetrics,
    num::MinRegionSize,
    operations::{
        Attempt,
        Operations, //
    },
    pattern::{
        Action,
        Applied, //
    },
    quota::Resume,
    regions::{
        rate::LatestInterval,
        region::Region,
        Regions, //
    },
    scheme::Scheme, //
};
use crate::panic_free::indexed;

/// A region and a scheme.
struct Place<'a, S> {
    target: usize,
    space: &'a S,
    /// Index of the region.
    at: usize,
    scheme: usize,
}

/// The state that is the same for all regions and schemes.
pub(super) struct Round<'a, 'w, O: Operations> {
    pub(super) ops: &'a mut O,
    pub(super) min_region_sz: MinRegionSize,
    pub(super) attrs: &'a Attrs,
    pub(super) events: &'a mut dyn Events,
    /// The trace event before each application has a listener.
    pub(super) traced: bool,
    pub(super) metrics: &'a dyn SystemMetrics,
    pub(super) walker: Option<&'w mut dyn Walker>,
    pub(super) latest: LatestInterval,
    pub(super) nr_probes: usize,
}

impl<O: Operations> Round<'_, '_, O> {
    /// Applies each due scheme to each region of a target in turn.
    pub(super) fn meet_all(
        &mut self,
        target: usize,
        space: &O::Space,
        regions: &mut Regions,
        schemes: &mut [Scheme],
    ) {
        for scheme in &mut *schemes {
            scheme.state.verdicts = VerdictCache::default();
            let round = &mut scheme.state.round;
            round.tried |= round.takes_part && !round.limited;
        }
        // A split inserts regions after the current one during this loop.
        let mut at: usize = 0;
        let mut any = true;
        while any && at < regions.len() {
            any = false;
            for (scheme_index, scheme) in indexed(schemes.iter_mut()) {
                if scheme.state.round.takes_part {
                    any = true;
                    let place = Place {
                        target,
                        space,
                        at,
                        scheme: scheme_index,
                    };
                    self.meet(&place, regions, scheme);
                }
            }
            at = at.saturating_add(1);
        }
    }

    #[inline]
    fn meet(&mut self, place: &Place<'_, O::Space>, regions: &mut Regions, scheme: &mut Scheme) {
        let round = scheme.state.round;
        if round.limited {
            if scheme.state.quota.is_full(self.min_region_sz) {
                // The quota is not refilled before the next application.
                scheme.state.round.takes_part = false;
                return;
            }
            scheme.state.round.tried = true;
            if self.skip_handled(place, regions, scheme) {
                return;
            }
        }
        let region = regions.as_slice().get(place.at);
        let wants = |region: &&Region| {
            let nr_accesses = region.recent_nr_accesses(&self.latest);
            scheme.wants(self.attrs, region, nr_accesses)
        };
        if let Some(region) = region.filter(wants) {
            if round.counts && scheme.state.verdicts.passes(region.end()) {
                scheme.state.stat.count(region.size(), Applied::default())
            } else {
                self.try_on(place, regions, scheme)
            }
        }
    }

    /// Returns whether the scheme skips the region because it was already handled in the last
    /// charge window. If only a part of it was, that part is split off and skipped. Corresponds to
    /// `damos_skip_charged_region()`.
    #[inline(never)]
    fn skip_handled(
        &mut self,
        place: &Place<'_, O::Space>,
        regions: &mut Regions,
        scheme: &mut Scheme,
    ) -> bool {
        let quota = &mut scheme.state.quota;
        let Some(region) = regions.as_slice().get(place.at) else {
            return true;
        };
        let size = region.size();
        let done = quota.handled_size(place.target, region, self.min_region_sz);
        if done != 0 && done < size {
            // If memory allocation fails, the rest of the region is skipped as well.
            let _ = regions.split_at(place.at, done);
        }
        if is_last(place.at, regions) {
            quota.leave(place.target);
        }
        done != 0
    }

    /// Tries the scheme's action on the region, or on the first part of it that filters and quota
    /// allow. That part becomes a region of its own.
    // Out of line: it runs rarely, and inlined it would take registers from the hot path.
    #[inline(never)]
    fn try_on(&mut self, place: &Place<'_, O::Space>, regions: &mut Regions, scheme: &mut Scheme) {
        let Scheme { params, state } = scheme;
        let round = state.round;
        let Some(region) = regions.as_slice().get(place.at) else {
            return;
        };
        let start = region.start();
        let verdict =
            state
                .verdicts
                .decide(&params.filters, place.target, start, self.min_region_sz);
        let decided = verdict.end.saturating_sub(start);
        if cut(regions, place.at, decided).is_none() || verdict.rejected {
            return;
        }
        let size_left = if round.limited {
            self.min_region_sz.down(state.quota.left())
        } else {
            u64::MAX
        };
        let Some(size) = cut(regions, place.at, size_left) else {
            return;
        };

        let nr_regions = regions.len();
        let Some(region) = regions.as_mut_slice().get_mut(place.at) else {
            return;
        };
        let nr_accesses = region.recent_nr_accesses(&self.latest);
        if self.traced {
            let hits = region.counted_probe_hits(&self.latest);
            self.events.before_apply(
                place.scheme,
                place.target,
                nr_regions,
                region,
                nr_accesses,
                hits,
            );
        }
        let begun = if round.limited {
            self.metrics.now_ns()
        } else {
            0
        };
        let applied = if round.acts {
            let attempt = Attempt {
                scheme: params,
                allowed: verdict.allowed,
                last: &mut state.last_entity,
            };
            self.ops.apply(place.space, region, attempt)
        } else {
            Applied::default()
        };
        if round.shown {
            if let Some(walker) = self.walker.as_deref_mut() {
                let hits = region.recent_probe_hits(&self.latest);
                walker.visit(&Tried {
                    target: place.target,
                    scheme: place.scheme,
                    region,
                    nr_accesses,
                    probe_hits: hits.get(..self.nr_probes).unwrap_or(&[]),
                    sz_filter_passed: applied.filter_passed,
                });
            }
        }
        if round.limited {
            let ns = self.metrics.now_ns().saturating_sub(begun);
            let quota = &mut state.quota;
            quota.charge(params.quota.fail_charge, size, applied, ns);
            if quota.is_full(self.min_region_sz) {
                quota.resume = Some(Resume {
                    target: place.target,
                    addr: region.end(),
                });
            }
        }
        if params.action != Action::Stat {
            region.reset_age();
        }
        state.stat.count(size, applied);
    }
}

/// Returns whether the region at index `at` is the last one of its target.
fn is_last(at: usize, regions: &Regions) -> bool {
    at.saturating_add(1) >= regions.len()
}

/// Splits the region at index `at` if it is larger than `limit`, and returns its size. Returns
/// `None` if the split fails; the scheme must not be applied in that case.
#[inline]
fn cut(regions: &mut Regions, at: usize, limit: u64) -> Option<u64> {
    let size = regions.as_slice().get(at)?.size();
    if size <= limit {
        return Some(size);
    }
    regions.split_at(at, limit).then_some(limit)
}
