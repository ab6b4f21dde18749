// SPDX-License-Identifier: GPL-2.0

//! Actions of schemes on physical addresses.
//!
//! Each looks at the folios of a region one after the other, asks the filters about each, and does
//! something to what passes. Memory that is on none of reclaim's lists is passed over.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

use super::{
    super::page_filters::{
        Filtered,
        PageFilters, //
    },
    Paddr, //
};
use crate::{
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
        end_of_memory,
        give_way,
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

/// How many folios are taken off reclaim's lists before they are reclaimed or moved.
const BATCH: usize = 512;

/// After how many pages other threads are given way to.
const PAGES: usize = 128;

/// Whether there is something that can be done for an action.
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

/// A folio, and what finds its mappings.
struct Mapped<'a>(&'a Folio, &'a ReverseMap);

impl Filtered for Mapped<'_> {
    fn attributes(&self) -> FolioAttributes<'_> {
        self.0.attributes()
    }

    /// Accesses through any mapping. What cannot be found out counts as not accessed.
    fn take_accesses(&self) -> bool {
        let mut mappings = self.1.mappings();
        let young = mappings.young(self.0).unwrap_or(false);
        if young {
            mappings.mkold(self.0);
        }
        young
    }
}

impl Paddr {
    /// Applies a scheme's action to a region.
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

    /// Reclaims what passes. By default that is only what is still not accessed: the region may
    /// have looked cold because of its other pages.
    fn page_out(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let Some(mut list) = ReclaimList::new() else {
            return Applied::default();
        };
        let filters = PageFilters::sparing_young(&attempt);
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

    /// Has reclaim look at what passes sooner or later.
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
            // CAST: Both have 64 bits.
            sum.applied = sum.applied.saturating_add(folio.size() as u64);
        });
        sum.in_units(self.addr_unit)
    }

    /// Moves what passes to the scheme's target node. Destinations with weights are for virtual
    /// addresses only.
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

    /// Counts what passes, if there are filters.
    fn count(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let mut sum = Sum::default();
        if !attempt.scheme.filters.ops().is_empty() {
            let filters = PageFilters::of(&attempt);
            self.visit_passing(region, attempt, &filters, &mut sum.passed, |_| {});
        }
        sum.in_units(self.addr_unit)
    }

    /// Shows each folio of a region that passes the filters, and adds its bytes to `passed`. The
    /// folio that the scheme was at last is left out.
    ///
    /// While a visitor has a folio, that has one more reference than who reclaims or moves it
    /// expects. So what is done to many at once is for those before.
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
                // CAST: Both have 64 bits.
                *passed = passed.saturating_add(folio.size() as u64);
                visitor(folio);
            }
        });
        *attempt.last = last.map(FolioId::addr);
    }

    /// Shows each folio of a region that is on one of reclaim's lists, with the numbers of its
    /// pages.
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
                folios.relax();
                give_way();
            }
        }
    }

    /// How much memory there is in a region, and how much of it on a node.
    pub(super) fn eligible_in(&self, region: &Region, nid: i32) -> Eligible {
        let mut eligible = Eligible::default();
        let (Some(all), node) = (Pages::of(region, self.addr_unit), Node::with_memory(nid)) else {
            return eligible;
        };
        self.visit(region, |folio, pages| {
            let bytes = pages.common(all).saturating_mul(PAGE_SIZE);
            // CAST: Both have 64 bits.
            let bytes = bytes as u64;
            eligible.bytes = eligible.bytes.saturating_add(bytes);
            if node.is_some_and(|node| folio.is_on(node)) {
                eligible.on_node = eligible.on_node.saturating_add(bytes);
            }
        });
        eligible
    }
}

/// Bytes that something was done to.
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

/// Numbers of pages in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pages {
    start: usize,
    end: usize,
}

impl Pages {
    /// Those of a region: as many as there are in its size, begun ones included, from the one that
    /// it begins in on. `None` where no addresses are.
    fn of(region: &Region, addr_unit: u64) -> Option<Self> {
        // CAST: A page has less than 2^64 bytes.
        const SIZE: u64 = PAGE_SIZE as u64;
        let start = region.start().checked_mul(addr_unit)? / SIZE;
        let count = region.size().saturating_mul(addr_unit).div_ceil(SIZE);
        let number = |n| usize::try_from(n).ok();
        Some(Self {
            start: number(start)?,
            end: number(start.saturating_add(count))?,
        })
    }

    /// Those of a folio of so many pages that one page is part of. Folios begin at multiples of
    /// their size, which is a power of two.
    fn around(page: usize, count: usize) -> Self {
        let mask = count.max(1).wrapping_sub(1);
        Self {
            start: page & !mask,
            end: (page | mask).saturating_add(1),
        }
    }

    /// How many are in both.
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
    fn what_is_done_for_physical_memory() {
        assert!(supports(Action::Stat));
        assert!(!supports(Action::Willneed));
        assert!(!supports(Action::Collapse));
    }
}
