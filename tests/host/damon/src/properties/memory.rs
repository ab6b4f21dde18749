// SPDX-License-Identifier: GPL-2.0

//! A memory of which we know how it is accessed.

use crate::engine::{
    Action,
    AddrRange,
    Applied,
    Attempt,
    Events,
    Micros,
    Operations,
    PageAttributes,
    Pass,
    Region,
    Tried,
    Walker, //
};
use kernel::prelude::*;
use std::collections::HashMap;

/// A memory of which we know how it is accessed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Memory {
    /// Smallest size of a region.
    pub(crate) min_region_sz: u64,
    /// What targets cover; `None` where the user's ranges stand.
    pub(crate) covers: Option<Vec<(u64, u64)>>,
    /// Addresses that are accessed all the time.
    pub(crate) hot: (u64, u64),
}

impl Operations for Memory {
    /// A number that tells targets apart; every third one has ceased to exist.
    type Space = u32;

    fn min_region_sz(&self) -> u64 {
        self.min_region_sz
    }

    fn ranges(&mut self, _space: &u32) -> Result<Option<KVec<AddrRange>>> {
        self.covers.as_deref().map(ranges).transpose()
    }

    /// Nothing that is prepared is hidden here.
    fn memory(&self, space: &u32) -> Option<usize> {
        usize::try_from(*space).ok()
    }

    fn sample(&mut self, _space: &u32, regions: &mut [Region], pass: &mut Pass<'_>) {
        for region in regions {
            if let Some(addr) = region.sample() {
                assert!((region.start()..region.end()).contains(&addr));
                if pass.probes() {
                    // Every third unit of min_region_sz is a hole.
                    let page = Page(addr / self.min_region_sz);
                    pass.probe(region, Some(&page).filter(|page| page.0 % 3 != 0));
                }
                if pass.checks() {
                    pass.record(region, (self.hot.0..self.hot.1).contains(&addr));
                }
            }
            if pass.prepares() && region.sample().is_none() {
                let addr = pass.pick(region);
                assert!((region.start()..region.end()).contains(&addr));
            }
        }
    }

    fn is_valid(&self, space: &u32) -> bool {
        space % 3 != 2
    }

    fn same_space(&self, space: &u32, _old: &Self, old_space: &u32) -> bool {
        space == old_space
    }

    fn supports(&self, action: Action) -> bool {
        matches!(action, Action::Stat | Action::Pageout)
    }

    /// Half of a region can be paged out.
    fn apply(&mut self, _space: &u32, region: &Region, attempt: Attempt<'_>) -> Applied {
        match attempt.scheme.action {
            Action::Pageout => Applied {
                bytes: region.size() / 2,
                filter_passed: region.size(),
            },
            _ => Applied::default(),
        }
    }
}

/// What is at an address: anonymous memory or a file's, of one of four groups.
struct Page(u64);

impl PageAttributes for Page {
    fn is_anon(&self) -> bool {
        self.0 % 2 == 0
    }

    fn memcg(&self) -> Option<u64> {
        Some(self.0 % 4).filter(|memcg| *memcg != 0)
    }
}

/// A list of ranges as the engine wants it.
pub(crate) fn ranges(list: &[(u64, u64)]) -> Result<KVec<AddrRange>> {
    let mut ranges = KVec::with_capacity(list.len(), GFP_KERNEL)?;
    for &(start, end) in list {
        ranges.push_within_capacity(AddrRange { start, end })?;
    }
    Ok(ranges)
}

/// Counts the trace events.
#[derive(Default)]
pub(crate) struct Counter(pub(crate) usize);

impl Events for Counter {
    fn aggregated_enabled(&self) -> bool {
        true
    }

    fn aggregated(&mut self, _target: usize, nr_regions: usize, _: &Region, nr_probes: usize) {
        assert!(nr_regions > 0);
        assert!(nr_probes <= 4);
        self.0 += 1;
    }

    fn tuned(&mut self, _: Micros) {}
}

/// Counts what a walk sees.
#[derive(Default)]
pub(crate) struct Visits(pub(crate) usize);

impl Walker for Visits {
    fn visit(&mut self, _tried: &Tried<'_>) {
        self.0 += 1;
    }
}

/// Number of addresses that each scheme was shown.
#[derive(Default)]
pub(crate) struct Shown(pub(crate) HashMap<usize, u128>);

impl Walker for Shown {
    fn visit(&mut self, tried: &Tried<'_>) {
        *self.0.entry(tried.scheme).or_default() += u128::from(tried.region.size());
    }
}
