// SPDX-License-Identifier: GPL-2.0

//! Actions of schemes on virtual addresses.
//!
//! Most actions are `madvise()` calls for a whole range, without the filters of the operations.
//! Migration and counting visit the mapped folios one after the other.

use kernel::{
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*, //
};

use super::super::{
    exchange::{
        cleared_by_filter,
        Place, //
    },
    page_filters::{
        Filtered,
        PageFilters, //
    }, //
};
use crate::{
    cast::{
        to_u64,
        to_usize, //
    },
    engine::{
        Action,
        Applied,
        Attempt,
        Dest,
        Region,
        SchemeParams, //
    },
    mm::{
        advise,
        can_advise,
        can_migrate,
        Advice,
        Cursor,
        Entry,
        FolioAttributes,
        FolioId,
        MigrationList,
        Node,
        Origin,
        Pid, //
    }, //
};

/// The number of folios that are isolated before they are migrated.
const BATCH: usize = 512;

/// The number of entries after which a walk calls [`Cursor::drop_locks`].
const ENTRIES: usize = 64;

/// Returns whether an action is supported, that is, whether the kernel functions for it were found.
pub(super) fn supports(action: Action) -> bool {
    match action {
        Action::Stat => true,
        Action::MigrateHot | Action::MigrateCold => can_migrate(),
        action => advice(action).is_some() && can_advise(),
    }
}

/// Returns the advice that an action corresponds to, `None` if there is none.
fn advice(action: Action) -> Option<Advice> {
    match action {
        Action::Willneed => Some(Advice::Willneed),
        Action::Cold => Some(Advice::Cold),
        Action::Pageout => Some(Advice::Pageout),
        Action::Hugepage => Some(Advice::Hugepage),
        Action::Nohugepage => Some(Advice::Nohugepage),
        Action::Collapse => Some(Advice::Collapse),
        Action::LruPrio
        | Action::LruDeprio
        | Action::MigrateHot
        | Action::MigrateCold
        | Action::Stat => None,
    }
}

/// Applies the action of a scheme to a region of a process. Does nothing if the process has no
/// address space any more. Sleeps.
pub(super) fn apply(pid: &Pid, region: &Region, attempt: Attempt<'_>) -> Applied {
    let action = attempt.scheme.action;
    let counts = action == Action::Stat;
    if counts && attempt.scheme.filters.ops().is_empty() {
        return Applied::default();
    }
    let Some(mm) = pid.mm() else {
        return Applied::default();
    };
    match advice(action) {
        Some(advice) => Applied {
            bytes: take_advice(&mm, region, advice),
            filter_passed: 0,
        },
        None if counts => count(&mm, region, attempt),
        None => migrate(&mm, region, attempt),
    }
}

/// Gives advice on a region. Returns its size in bytes, 0 if the advice was not applied to all of
/// it.
fn take_advice(mm: &MmWithUser, region: &Region, advice: Advice) -> u64 {
    let aligned = |n: u64| to_usize(n).checked_next_multiple_of(PAGE_SIZE);
    let (Some(start), Some(len)) = (aligned(region.start()), aligned(region.size())) else {
        return 0;
    };
    if advise(mm, start, len, advice) {
        to_u64(len)
    } else {
        0
    }
}

/// Counts the memory that passes the filters.
fn count(mm: &MmWithUser, region: &Region, attempt: Attempt<'_>) -> Applied {
    let filters = PageFilters::of(&attempt);
    let mut passed = 0_u64;
    let mut walk = Walk::new(mm, region, &attempt);
    walk.visit(|entry, _| {
        if filters.pass(entry) {
            passed = passed.saturating_add(size(entry));
        }
        true
    });
    *attempt.last = walk.last.map(FolioId::addr);
    Applied {
        bytes: 0,
        filter_passed: passed,
    }
}

/// Migrates the folios that pass the filters.
fn migrate(mm: &MmWithUser, region: &Region, attempt: Attempt<'_>) -> Applied {
    let Ok(mut places) = Places::new(attempt.scheme) else {
        return Applied::default();
    };
    let filters = PageFilters::of(&attempt);
    let mut applied = Applied::default();
    let mut walk = Walk::new(mm, region, &attempt);
    loop {
        let more = walk.visit(|entry, origin| {
            if filters.pass(entry) {
                applied.filter_passed = applied.filter_passed.saturating_add(size(entry));
                places.add(entry, origin);
            }
            places.len() < BATCH
        });
        applied.bytes = applied.bytes.saturating_add(places.migrate());
        if !more {
            break;
        }
    }
    *attempt.last = walk.last.map(FolioId::addr);
    applied
}

/// Returns the size in bytes of the folio that an entry maps.
fn size(entry: &Entry<'_>) -> u64 {
    to_u64(entry.attributes().size())
}

impl Filtered for Entry<'_> {
    fn attributes(&self) -> FolioAttributes<'_> {
        self.attributes()
    }

    /// Covers accesses through this mapping, and those that clear the idle flag.
    fn take_accesses(&self) -> bool {
        let young = self.young();
        if young {
            // This kdamond has no samples that are prepared while schemes are applied.
            let _ = self.mkold(|place| {
                cleared_by_filter(Place::Whole(place));
                true
            });
            cleared_by_filter(Place::Whole(self.id()));
            cleared_by_filter(Place::PartOf(self.folio_id().into()));
        }
        young
    }
}

/// A walk over the folios that are mapped in a region.
struct Walk<'mm> {
    cursor: Cursor<'mm>,
    /// The address at which the walk continues.
    next: usize,
    end: usize,
    /// The last folio that was visited, so that a folio with many pages is visited once.
    last: Option<FolioId>,
}

impl<'mm> Walk<'mm> {
    fn new(mm: &'mm MmWithUser, region: &Region, attempt: &Attempt<'_>) -> Self {
        Self {
            cursor: Cursor::new(mm),
            next: to_usize(region.start()),
            end: to_usize(region.end()),
            last: attempt.last.map(FolioId::from_addr),
        }
    }

    /// Calls `visitor` for each entry that maps another folio than the one before, until it returns
    /// `false`. Returns whether there may be more entries. No lock is held afterwards.
    ///
    /// `visitor` must not sleep. Hugetlb folios are skipped.
    fn visit(&mut self, mut visitor: impl FnMut(&Entry<'_>, Origin) -> bool) -> bool {
        let mut seen = 0_usize;
        while let Some((addr, origin)) = self.cursor.skip(self.next, self.end) {
            let (mut next, mut more) = ((addr | (PAGE_SIZE - 1)).checked_add(1), true);
            if let Some(entry) = self.cursor.at(addr) {
                next = entry.end();
                let id = entry.folio_id();
                if !entry.is_hugetlb() && self.last != Some(id) {
                    self.last = Some(id);
                    more = visitor(&entry, origin);
                }
            }
            self.next = next.unwrap_or(self.end);
            seen = seen.wrapping_add(1);
            if !more {
                self.cursor.leave();
                return true;
            }
            if seen % ENTRIES == 0 {
                self.cursor.drop_locks();
            }
        }
        self.cursor.leave();
        false
    }
}

/// The targets of a migration.
enum Places<'a> {
    /// All folios go to one node. `None` if there is no such node.
    One(Option<MigrationList>),
    /// Folios are distributed over several nodes by weight.
    Interleaved {
        dests: &'a [Dest],
        /// One list for each of `dests`.
        lists: KVec<Option<MigrationList>>,
        /// The sum of all weights, not zero.
        total: u64,
    },
}

impl<'a> Places<'a> {
    /// Creates the lists for the targets of a scheme. Fails with `ENOMEM`, and with `EINVAL` if all
    /// weights are zero.
    fn new(scheme: &'a SchemeParams) -> Result<Self> {
        let list = |nid| MigrationList::new(Node::with_memory(nid)?);
        let dests = scheme.dests.as_slice();
        if dests.is_empty() {
            return Ok(Self::One(scheme.target_nid.and_then(list)));
        }
        let mut lists = KVec::with_capacity(dests.len(), GFP_KERNEL)?;
        let mut total = 0_u64;
        for dest in dests {
            total = total.saturating_add(u64::from(dest.weight));
            lists.push_within_capacity(i32::try_from(dest.nid).ok().and_then(list))?;
        }
        if total == 0 {
            return Err(EINVAL);
        }
        Ok(Self::Interleaved {
            dests,
            lists,
            total,
        })
    }

    /// Adds the folio that an entry maps. With several nodes, the position of the folio in the file
    /// or anonymous mapping selects the node, as for memory policies with weighted interleaving. So
    /// a folio gets the same node each time.
    fn add(&mut self, entry: &Entry<'_>, origin: Origin) {
        let list = match self {
            Self::One(list) => list.as_mut(),
            Self::Interleaved {
                dests,
                lists,
                total,
            } => {
                let size = entry.attributes().size();
                let nr = number(entry.start(), size, entry.size() == size, origin);
                let slot = nr.checked_rem(*total).unwrap_or(0);
                lists.get_mut(choose(dests, slot)).and_then(Option::as_mut)
            }
        };
        if let Some(list) = list {
            entry.move_by(list);
        }
    }

    /// Returns the number of folios in all lists.
    fn len(&self) -> usize {
        let len = |list: &Option<MigrationList>| list.as_ref().map_or(0, MigrationList::len);
        match self {
            Self::One(list) => len(list),
            Self::Interleaved { lists, .. } => lists.iter().map(len).fold(0, usize::saturating_add),
        }
    }

    /// Migrates all folios. Returns the number of bytes that were migrated.
    fn migrate(&mut self) -> u64 {
        let migrate =
            |list: &mut Option<MigrationList>| list.as_mut().map_or(0, MigrationList::migrate);
        match self {
            Self::One(list) => migrate(list),
            Self::Interleaved { lists, .. } => {
                lists.iter_mut().map(migrate).fold(0, u64::saturating_add)
            }
        }
    }
}

/// Returns the index of a folio of `size` bytes in the file or anonymous mapping of a VMA, in units
/// of its size. `addr` is an address at which a part of the folio is mapped.
///
/// If one entry maps the `whole` folio, the index is that which `__get_vma_policy()` has computed
/// when it was allocated. Otherwise the VMA may have been split within the folio since. The index
/// is then the same for each page of the folio, and in each VMA that maps it.
fn number(addr: usize, size: usize, whole: bool, origin: Origin) -> u64 {
    let order = (size / PAGE_SIZE).checked_ilog2().unwrap_or(0);
    let shift = |n: usize| n.checked_shr(order).unwrap_or(0);
    let pages = addr.saturating_sub(origin.start) / PAGE_SIZE;
    to_u64(if whole {
        shift(origin.page).saturating_add(shift(pages))
    } else {
        shift(origin.page.saturating_add(pages))
    })
}

/// Returns the index of the destination that a slot belongs to. Each destination has as many
/// consecutive slots as its weight. Returns the number of destinations if the slot is not below the
/// sum of the weights.
fn choose(dests: &[Dest], mut slot: u64) -> usize {
    let mut index = 0_usize;
    for dest in dests {
        let Some(rest) = slot.checked_sub(u64::from(dest.weight)) else {
            break;
        };
        slot = rest;
        index = index.saturating_add(1);
    }
    index
}

#[kunit_tests(damon_rs_ops_vaddr_actions)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_chosen_by_weight() {
        let dest = |nid, weight| Dest { nid, weight };
        let dests = [dest(0, 2), dest(1, 0), dest(2, 3)];
        let chosen = [0_u64, 1, 2, 3, 4].map(|slot| choose(&dests, slot));
        assert_eq!(chosen, [0, 0, 2, 2, 2]);
        assert_eq!(choose(&dests, 5), 3);
        assert_eq!(choose(&[], 0), 0);
    }

    #[test]
    fn numbers_of_folios_in_an_area() {
        const HUGE: usize = 512 * PAGE_SIZE;
        let origin = Origin {
            start: 0x10_0000,
            page: 0x300,
        };
        assert_eq!(number(0x10_0000, PAGE_SIZE, true, origin), 0x300);
        assert_eq!(number(0x10_3000, PAGE_SIZE, true, origin), 0x303);
        // An address below the VMA counts as its start.
        assert_eq!(number(0, PAGE_SIZE, true, origin), 0x300);
        // Folios of two pages.
        assert_eq!(number(0x10_6000, 2 * PAGE_SIZE, false, origin), 0x183);
        // A huge page of 2 MiB.
        assert_eq!(number(0x50_0000, HUGE, true, origin), 3);
        // All pages of it have the same index, although the VMA begins in the middle of another
        // one.
        let middle = Origin {
            start: 0x10_2000,
            page: 0x302,
        };
        for addr in [0x20_0000, 0x2f_f000, 0x3f_f000] {
            assert_eq!(number(addr, HUGE, false, middle), 2);
        }
        // If it is mapped by one entry, offset and distance are rounded down separately.
        assert_eq!(number(0x20_0000, HUGE, true, middle), 1);
        assert_eq!(number(0x40_0000, HUGE, true, middle), 2);
    }

    #[test]
    fn supports_the_actions_for_processes() {
        assert!(supports(Action::Stat));
        assert!(!supports(Action::LruPrio));
        assert!(!supports(Action::LruDeprio));
    }
}
