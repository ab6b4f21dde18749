// SPDX-License-Identifier: GPL-2.0

//! Virtual address spaces of processes.
//!
//! A sample is one page of a region. Preparing it clears the accessed bit of the page table entry
//! that maps it. Checking it tests whether the CPU has set the bit since. Addresses at which
//! nothing is mapped count as not accessed.

use kernel::{
    mm::MmWithUser,
    prelude::*, //
};

mod actions;

use super::{
    exchange::{
        Observer,
        Place, //
    },
    hidden::Hidden,
    three_regions::three_regions, //
};
use crate::{
    cast::{
        to_u64,
        to_usize,
        PAGE_SIZE, //
    },
    engine::{
        Action,
        AddrRange,
        Applied,
        Attempt,
        Operations,
        Pass,
        Region,
        SchemeParams, //
    },
    mm::{
        vmas,
        Aged,
        Cursor,
        Entry,
        FolioAttributes,
        Pid, //
    }, //
};

/// The number of regions after which a pass calls [`Cursor::drop_locks`]. They take some
/// microseconds.
const BATCH: usize = 32;

// The engine uses 64-bit addresses. Here they are virtual addresses, which must have the same size.
const _: () = assert!(usize::BITS == u64::BITS);

/// Monitoring operations for virtual address spaces of processes.
pub struct Vaddr {
    ranges: Ranges,
    cleared: Cleared,
}

/// Accesses that were cleared before they were checked.
struct Cleared {
    /// In this pass.
    hidden: Hidden,
    /// By other kdamonds.
    others: Observer,
}

/// The source of the monitored ranges.
#[derive(Clone, Copy)]
pub(super) enum Ranges {
    /// The mappings of the process, as they change.
    Mapped,
    /// The user has set them.
    Fixed,
}

impl Vaddr {
    /// Fails with `ENOMEM`. May sleep.
    pub(super) fn new(ranges: Ranges) -> Result<Self> {
        Ok(Self {
            ranges,
            cleared: Cleared {
                hidden: Hidden::new()?,
                others: Observer::new(),
            },
        })
    }

    /// Returns whether the user has set the monitored ranges.
    pub(super) fn has_fixed_ranges(&self) -> bool {
        matches!(self.ranges, Ranges::Fixed)
    }
}

impl Operations for Vaddr {
    type Space = Pid;

    fn min_region_sz(&self) -> u64 {
        PAGE_SIZE
    }

    fn ranges(&mut self, pid: &Pid) -> Result<Option<KVec<AddrRange>>> {
        match self.ranges {
            Ranges::Fixed => Ok(None),
            Ranges::Mapped => {
                let mm = pid.mm().ok_or(EINVAL)?;
                let vmas = vmas(&mm).map(|vma| AddrRange {
                    start: to_u64(vma.start),
                    end: to_u64(vma.end),
                });
                let regions = three_regions(vmas).ok_or(EINVAL)?;
                let mut ranges = KVec::with_capacity(regions.len(), GFP_KERNEL)?;
                ranges.extend_from_slice(&regions, GFP_KERNEL)?;
                Ok(Some(ranges))
            }
        }
    }

    /// An address space. No process enters the address space of another one, so two targets share
    /// one from the start or never.
    fn memory(&self, pid: &Pid) -> Option<usize> {
        pid.mm_addr()
    }

    fn begin_pass(&mut self) {
        self.cleared.hidden.begin_pass();
        self.cleared.others.begin_pass();
    }

    fn sample(&mut self, pid: &Pid, regions: &mut [Region], pass: &mut Pass<'_>) {
        let cleared = &mut self.cleared;
        cleared.hidden.begin_target(pass.checks());
        cleared.others.begin_target(pass.prepares());
        let Some(mm) = pid.mm() else {
            return sample_missing(regions, pass);
        };
        // Few contexts have probes, and few are beside others. The constants save the rest some
        // checks for each region.
        match (pass.probes(), cleared.others.any_other()) {
            (false, false) => sample_all::<false, false>(&mm, cleared, regions, pass),
            (false, true) => sample_all::<false, true>(&mm, cleared, regions, pass),
            (true, _) => sample_all::<true, true>(&mm, cleared, regions, pass),
        }
    }

    fn is_valid(&self, pid: &Pid) -> bool {
        pid.is_alive()
    }

    fn same_space(&self, pid: &Pid, _old: &Self, old_pid: &Pid) -> bool {
        pid == old_pid
    }

    fn supports(&self, action: Action) -> bool {
        actions::supports(action)
    }

    fn acts(&self, scheme: &SchemeParams) -> bool {
        self.supports(scheme.action) && !scheme.only_counts()
    }

    fn apply(&mut self, pid: &Pid, region: &Region, attempt: Attempt<'_>) -> Applied {
        actions::apply(pid, region, attempt)
    }
}

/// Runs a pass over an address space. `PROBES` must be equal to [`Pass::probes`]. `OTHERS` must be
/// `true` if there are other kdamonds.
fn sample_all<const PROBES: bool, const OTHERS: bool>(
    mm: &MmWithUser,
    cleared: &mut Cleared,
    regions: &mut [Region],
    pass: &mut Pass<'_>,
) {
    let mut cursor = Cursor::new(mm);
    for batch in regions.chunks_mut(BATCH) {
        cursor.drop_locks();
        for region in batch {
            if let (true, Some(addr)) = (PROBES, region.sample()) {
                let entry = cursor.at(to_usize(addr));
                pass.probe(region, entry.as_ref().map(Entry::attributes).as_ref());
            }
            pass.check(region, |addr| {
                let entry = cursor.at(to_usize(addr));
                entry.is_some_and(|entry| accessed::<OTHERS>(&entry, cleared))
            });
            if pass.prepares() && region.sample().is_none() {
                let addr = to_usize(pass.pick(region));
                let entry = cursor.at(addr);
                if entry.is_some_and(|entry| !prepare::<OTHERS>(&entry, cleared)) {
                    pass.defer(region);
                }
            }
        }
    }
}

/// Runs a pass over an address space that does not exist any more.
fn sample_missing(regions: &mut [Region], pass: &mut Pass<'_>) {
    for region in regions {
        if region.sample().is_none() {
            continue;
        }
        if pass.probes() {
            pass.probe(region, None::<&FolioAttributes<'_>>);
        }
        if pass.checks() {
            pass.record(region, false);
        }
    }
}

/// Returns whether there was an access since the sample was prepared.
#[inline]
fn accessed<const OTHERS: bool>(entry: &Entry<'_>, cleared: &Cleared) -> bool {
    let Cleared { hidden, others } = cleared;
    let folio = || entry.folio_id().into();
    entry.young()
        || hidden.young(entry.id(), folio)
        || OTHERS && others.found([Place::Whole(entry.id()), Place::Whole(folio())])
}

/// Clears past accesses, and remembers them for regions that are checked later in this pass, and
/// for other kdamonds. Returns `false` if it has cleared nothing because they could not be
/// remembered.
#[inline(always)]
fn prepare<const OTHERS: bool>(entry: &Entry<'_>, cleared: &mut Cleared) -> bool {
    let Cleared { hidden, others } = cleared;
    let hide = |place| {
        let hides = hidden.hide(place);
        if OTHERS && hides {
            others.cleared(Place::Whole(place));
        }
        hides
    };
    match entry.mkold(hide) {
        Aged::Unchanged => true,
        Aged::Cleared => {
            hidden.cleared(entry.id());
            if OTHERS {
                others.cleared(Place::Whole(entry.id()));
                others.cleared(Place::PartOf(entry.folio_id().into()));
            }
            true
        }
        Aged::Refused => false,
    }
}
