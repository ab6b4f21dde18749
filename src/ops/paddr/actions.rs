// SPDX-License-Identifier: GPL-2.0

//! Actions of schemes on physical addresses.
//!
//! An action visits the folios of a region one after the other, applies the filters to each, and is
//! applied to those that pass. Memory that is on no LRU list is skipped.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

use super::{
    super::exchange::{
        cleared_by_filter,
        Place, //
    },
    super::page_filters::{
        Filtered,
        PageFilters, //
    },
    Paddr, //
};
use crate::{
    cast::{
        self,
        to_u64,
        to_usize, //
    },
    engine::{
        Action,
        Applied,
        Attempt,
        Eligible,
        Region, //
    },
    mm::{
        can_migrate,
        can_reclaim,
        cond_resched,
        end_of_memory,
        Folio,
        FolioAttributes,
        FolioId,
        Folios,
        MigrationList,
        Node,
        Priority,
        ReclaimList,
        ReverseMap, //
    }, //
};

/// The number of folios that are isolated before they are reclaimed or migrated.
const BATCH: usize = 512;

/// The number of look-ups after which `cond_resched()` is called.
const PAGES: usize = 128;

/// Returns whether an action is supported, that is, whether the kernel functions for it were found.
pub(super) fn supports(action: Action) -> bool {
    match action {
        Action::Stat => true,
        Action::Pageout => can_reclaim(),
        Action::LruPrio | Action::LruDeprio => Priority::get().is_some(),
        Action::MigrateHot | Action::MigrateCold => can_migrate(),
        Action::Willneed
        | Action::Cold
        | Action::Hugepage
        | Action::Nohugepage
        | Action::Collapse => false,
    }
}

/// A folio, and the means to find its mappings.
struct Mapped<'a>(&'a Folio, &'a ReverseMap);

impl Filtered for Mapped<'_> {
    fn attributes(&self) -> FolioAttributes<'_> {
        self.0.attributes()
    }

    /// Covers accesses through all mappings. If they cannot be determined, the folio counts as not
    /// accessed.
    fn take_accesses(&self) -> bool {
        let mut mappings = self.1.mappings();
        let young = mappings.young(self.0).unwrap_or(false);
        if young {
            mappings.mkold(self.0, |place| cleared_by_filter(Place::Whole(place)));
            cleared_by_filter(Place::PartOf(self.0.id().into()));
        }
        young
    }
}

impl Paddr {
    /// Applies the action of a scheme to a region. Sleeps.
    pub(super) fn act(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        match attempt.scheme.action {
            Action::Pageout => self.page_out(region, attempt),
            Action::LruPrio => self.reorder(region, attempt, Priority::raise),
            Action::LruDeprio => self.reorder(region, attempt, Priority::lower),
            Action::MigrateHot | Action::MigrateCold => self.migrate(region, attempt),
            Action::Stat => self.count(region, attempt),
            Action::Willneed
            | Action::Cold
            | Action::Hugepage
            | Action::Nohugepage
            | Action::Collapse => Applied::default(),
        }
    }

    /// Reclaims the folios that pass. By default these are only folios that were not accessed
    /// since: the region may have appeared cold because of other pages.
    fn page_out(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let Some(mut list) = ReclaimList::new() else {
            return Applied::default();
        };
        let filters = PageFilters::rejecting_young(&attempt);
        let mut sum = Sum::default();
        self.visit_passing(region, attempt, &filters, &mut sum.passed, |folio| {
            if list.len() >= BATCH {
                sum.applied = sum.applied.saturating_add(list.reclaim());
            }
            folio.forget_references();
            list.add(folio);
        });
        sum.applied = sum.applied.saturating_add(list.reclaim());
        sum.in_units(self.addr_unit)
    }

    /// Activates or deactivates the folios that pass, by calling `reorder`.
    fn reorder(
        &self,
        region: &Region,
        attempt: Attempt<'_>,
        reorder: impl Fn(Priority, &Folio),
    ) -> Applied {
        let Some(priority) = Priority::get() else {
            return Applied::default();
        };
        let filters = PageFilters::of(&attempt);
        let mut sum = Sum::default();
        self.visit_passing(region, attempt, &filters, &mut sum.passed, |folio| {
            reorder(priority, folio);
            sum.applied = sum.applied.saturating_add(to_u64(folio.size()));
        });
        sum.in_units(self.addr_unit)
    }

    /// Migrates the folios that pass to the target node of the scheme. Destinations with weights
    /// are supported for virtual addresses only.
    fn migrate(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let node = attempt.scheme.target_nid.and_then(Node::with_memory);
        let mut list = node.and_then(MigrationList::new);
        let filters = PageFilters::of(&attempt);
        let mut sum = Sum::default();
        self.visit_passing(region, attempt, &filters, &mut sum.passed, |folio| {
            if let Some(list) = &mut list {
                if list.len() >= BATCH {
                    sum.applied = sum.applied.saturating_add(list.migrate());
                }
                list.add(folio);
            }
        });
        if let Some(list) = &mut list {
            sum.applied = sum.applied.saturating_add(list.migrate());
        }
        sum.in_units(self.addr_unit)
    }

    /// Counts the folios that pass, if there are filters.
    fn count(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let mut sum = Sum::default();
        if !attempt.scheme.filters.ops().is_empty() {
            let filters = PageFilters::of(&attempt);
            self.visit_passing(region, attempt, &filters, &mut sum.passed, |_| {});
        }
        sum.in_units(self.addr_unit)
    }

    /// Calls `visitor` for each folio of a region that passes the filters, and adds its size in
    /// bytes to `passed`. Skips the folio that the scheme has visited last.
    ///
    /// During a call of `visitor` this function holds a reference to the folio. Reclaim and
    /// migration fail for folios with such a reference, so a batch is processed before the folio is
    /// added.
    fn visit_passing(
        &self,
        region: &Region,
        attempt: Attempt<'_>,
        filters: &PageFilters<'_>,
        passed: &mut u64,
        mut visitor: impl FnMut(&Folio),
    ) {
        let skipped = attempt.last.map(FolioId::from_addr);
        let mut last = skipped;
        self.visit(region, |folio, _| {
            if Some(folio.id()) == skipped {
                return;
            }
            last = Some(folio.id());
            if filters.pass(&Mapped(folio, &self.map)) {
                *passed = passed.saturating_add(to_u64(folio.size()));
                visitor(folio);
            }
        });
        *attempt.last = last.map(FolioId::addr);
    }

    /// Calls `visitor` for each folio of a region that is on an LRU list, with the PFNs of the
    /// folio. `visitor` may sleep.
    fn visit(&self, region: &Region, mut visitor: impl FnMut(&Folio, Pages)) {
        let Some(pages) = Pages::of(region, self.addr_unit) else {
            return;
        };
        let end = pages.end.min(end_of_memory());
        let (mut at, mut until_rest) = (pages.start, PAGES);
        let mut folios = Folios::new();
        while at < end {
            if let Some(online) = folios.offline_until(at) {
                at = online;
            } else if let Some(folio) = folios.at(at) {
                let pages = Pages::around(at, folio.size() / PAGE_SIZE);
                if folio.is_on_lru() {
                    visitor(&folio, pages);
                }
                at = pages.end.max(at.saturating_add(1));
            } else {
                at = at.saturating_add(1);
            }
            until_rest = until_rest.saturating_sub(1);
            if until_rest == 0 {
                until_rest = PAGES;
                folios.drop_locks();
                cond_resched();
            }
        }
    }

    /// Returns the size in bytes of the memory of a region that is on LRU lists, and of the part of
    /// it that is on a node.
    pub(super) fn eligible_in(&self, region: &Region, nid: i32) -> Eligible {
        let mut eligible = Eligible::default();
        let (Some(all), node) = (Pages::of(region, self.addr_unit), Node::with_memory(nid)) else {
            return eligible;
        };
        self.visit(region, |folio, pages| {
            let bytes = pages.common(all).saturating_mul(PAGE_SIZE);
            let bytes = to_u64(bytes);
            eligible.bytes = eligible.bytes.saturating_add(bytes);
            if node.is_some_and(|node| folio.is_on(node)) {
                eligible.on_node = eligible.on_node.saturating_add(bytes);
            }
        });
        eligible
    }
}

/// The size in bytes of the memory that an action was applied to, and of the memory that has passed
/// the filters.
#[derive(Default)]
struct Sum {
    applied: u64,
    passed: u64,
}

impl Sum {
    fn in_units(self, addr_unit: u64) -> Applied {
        let units = |bytes: u64| bytes.checked_div(addr_unit).unwrap_or(0);
        Applied {
            bytes: units(self.applied),
            filter_passed: units(self.passed),
        }
    }
}

/// A range of PFNs, with an exclusive end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pages {
    start: usize,
    end: usize,
}

impl Pages {
    /// Returns the PFNs of a region. They begin with that of its first address, and are as many as
    /// its size has pages, rounded up. `None` if an address in bytes does not fit into 64 bits.
    fn of(region: &Region, addr_unit: u64) -> Option<Self> {
        let start = region.start().checked_mul(addr_unit)? / cast::PAGE_SIZE;
        let count = region
            .size()
            .saturating_mul(addr_unit)
            .div_ceil(cast::PAGE_SIZE);
        Some(Self {
            start: to_usize(start),
            end: to_usize(start.saturating_add(count)),
        })
    }

    /// Returns the PFNs of the folio of `count` pages that contains a page. A folio is aligned to
    /// its size, which is a power of two.
    fn around(page: usize, count: usize) -> Self {
        let mask = count.max(1).wrapping_sub(1);
        Self {
            start: page & !mask,
            end: (page | mask).saturating_add(1),
        }
    }

    /// Returns the number of PFNs that are in both ranges.
    fn common(self, other: Self) -> usize {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        end.saturating_sub(start)
    }
}

#[kunit_tests(damon_rs_ops_paddr_actions)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_folio() {
        let pages = |start, end| Pages { start, end };
        assert_eq!(Pages::around(7, 1), pages(7, 8));
        assert_eq!(Pages::around(7, 4), pages(4, 8));
        assert_eq!(Pages::around(0x3ff, 512), pages(0x200, 0x400));
        assert_eq!(Pages::around(7, 0), pages(7, 8));
        assert_eq!(Pages::around(usize::MAX, 1), pages(usize::MAX, usize::MAX));
        assert_eq!(pages(4, 8).common(pages(6, 100)), 2);
        assert_eq!(pages(4, 8).common(pages(8, 100)), 0);
    }

    #[test]
    fn counted_in_units() {
        let sum = Sum {
            applied: 8192,
            passed: 4095,
        };
        let applied = sum.in_units(4096);
        assert_eq!((applied.bytes, applied.filter_passed), (2, 0));
    }

    #[test]
    fn supports_the_actions_for_physical_memory() {
        assert!(supports(Action::Stat));
        assert!(!supports(Action::Willneed));
        assert!(!supports(Action::Collapse));
    }
}
