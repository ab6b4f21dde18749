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
    pass_memory::PassMemory,
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
    pub(super) fn new(ranges: Ranges) -> Self {
        Self { ranges }
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

    fn sample(&mut self, pid: &Pid, regions: &mut [Region], pass: &mut Pass<'_>) {
        // Few contexts have probes. The constant saves the others a check for each region.
        match (pid.mm(), pass.probes()) {
            (Some(mm), false) => sample_all::<false>(&mm, regions, pass),
            (Some(mm), true) => sample_all::<true>(&mm, regions, pass),
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
fn sample_all<const PROBES: bool>(mm: &MmWithUser, regions: &mut [Region], pass: &mut Pass<'_>) {
    let mut cursor = Cursor::new(mm);
    let mut remembered = PassMemory::nothing();
    for batch in regions.chunks_mut(BATCH) {
        cursor.drop_locks();
        for region in batch {
            if let (true, Some(addr)) = (PROBES, region.sample()) {
                let entry = cursor.at(to_usize(addr));
                pass.probe(region, entry.as_ref().map(Entry::attributes).as_ref());
            }
            pass.check(region, |addr| {
                let entry = cursor.at(to_usize(addr));
                entry.is_some_and(|entry| accessed(&entry, &remembered))
            });
            if pass.prepares() && region.sample().is_none() {
                let addr = to_usize(pass.pick(region));
                if let Some(entry) = cursor.at(addr) {
                    prepare(&entry, &mut remembered);
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
fn accessed(entry: &Entry<'_>, remembered: &PassMemory) -> bool {
    entry.young() || remembered.young(entry.start(), || entry.folio_id())
}

/// Clears past accesses, and records them for regions that are checked later in this pass.
#[inline(always)]
fn prepare(entry: &Entry<'_>, remembered: &mut PassMemory) {
    let cleared = entry.mkold();
    remembered.prepared(entry.start(), || entry.folio_id(), cleared);
}
