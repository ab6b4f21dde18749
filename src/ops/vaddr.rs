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
    hidden: Hidden,
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
            hidden: Hidden::new()?,
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
        self.hidden.begin_pass();
    }

    fn sample(&mut self, pid: &Pid, regions: &mut [Region], pass: &mut Pass<'_>) {
        // Few contexts have probes. The constant saves the others a check for each region.
        self.hidden.begin_target(pass.checks());
        let hidden = &mut self.hidden;
        match (pid.mm(), pass.probes()) {
            (Some(mm), false) => sample_all::<false>(&mm, hidden, regions, pass),
            (Some(mm), true) => sample_all::<true>(&mm, hidden, regions, pass),
            (None, _) => sample_missing(regions, pass),
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

/// Runs a pass over an address space. `PROBES` must be equal to [`Pass::probes`].
fn sample_all<const PROBES: bool>(
    mm: &MmWithUser,
    hidden: &mut Hidden,
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
                entry.is_some_and(|entry| accessed(&entry, hidden))
            });
            if pass.prepares() && region.sample().is_none() {
                let addr = to_usize(pass.pick(region));
                let entry = cursor.at(addr);
                if entry.is_some_and(|entry| !prepare(&entry, hidden)) {
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
fn accessed(entry: &Entry<'_>, hidden: &Hidden) -> bool {
    entry.young() || hidden.young(entry.id(), || entry.folio_id().into())
}

/// Clears past accesses, and remembers them for regions that are checked later in this pass.
/// Returns `false` if it has cleared nothing because they could not be remembered.
#[inline(always)]
fn prepare(entry: &Entry<'_>, hidden: &mut Hidden) -> bool {
    match entry.mkold(|place| hidden.hide(place)) {
        Aged::Unchanged => true,
        Aged::Cleared => {
            hidden.cleared(entry.id());
            true
        }
        Aged::Refused => false,
    }
}
