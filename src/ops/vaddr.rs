// SPDX-License-Identifier: GPL-2.0

//! Virtual address spaces of processes.
//!
//! A sample is one page of a region. To prepare it is to clear the accessed bit of the entry that
//! maps it; to check it is to look whether the processor has set the bit since. Addresses where
//! nothing is mapped are not accessed.

use kernel::{
    mm::MmWithUser,
    page::PAGE_SIZE,
    prelude::*, //
};

mod actions;

use super::{
    remembered::Remembered,
    three_regions::three_regions, //
};
use crate::{
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
        areas,
        Cursor,
        Entry,
        FolioAttributes,
        Pid, //
    }, //
};

/// After how many regions the locks of the address space are offered to whoever waits for them.
/// Some microseconds.
const BATCH: usize = 32;

// The engine counts addresses in 64 bits, whatever the address space. Here they are those of the
// machine.
const _: () = assert!(usize::BITS == u64::BITS);

/// Monitors what processes have mapped.
pub struct Vaddr {
    ranges: Ranges,
}

/// What decides which ranges are monitored.
#[derive(Clone, Copy)]
pub(super) enum Ranges {
    /// The mappings of the process, as they change.
    Mapped,
    /// The user.
    Fixed,
}

impl Vaddr {
    pub(super) fn new(ranges: Ranges) -> Self {
        Self { ranges }
    }

    /// Whether the ranges that are monitored are those that the user has set.
    pub(super) fn has_fixed_ranges(&self) -> bool {
        matches!(self.ranges, Ranges::Fixed)
    }
}

impl Operations for Vaddr {
    type Space = Pid;

    fn min_region_sz(&self) -> u64 {
        // CAST: Both have 64 bits.
        PAGE_SIZE as u64
    }

    fn ranges(&mut self, pid: &Pid) -> Result<Option<KVec<AddrRange>>> {
        match self.ranges {
            Ranges::Fixed => Ok(None),
            Ranges::Mapped => {
                let mm = pid.mm().ok_or(EINVAL)?;
                let areas = areas(&mm).map(|area| AddrRange {
                    // CAST: Both have 64 bits.
                    start: area.start as u64,
                    end: area.end as u64,
                });
                let regions = three_regions(areas).ok_or(EINVAL)?;
                let mut ranges = KVec::with_capacity(regions.len(), GFP_KERNEL)?;
                ranges.extend_from_slice(&regions, GFP_KERNEL)?;
                Ok(Some(ranges))
            }
        }
    }

    fn sample(&mut self, pid: &Pid, regions: &mut [Region], pass: &mut Pass<'_>) {
        // Most have no probes, and shall not be asked about them at every region.
        match (pid.mm(), pass.probes()) {
            (Some(mm), false) => look_at::<false>(&mm, regions, pass),
            (Some(mm), true) => look_at::<true>(&mm, regions, pass),
            (None, _) => see_nothing(regions, pass),
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

/// A pass over an address space. `PROBES` is what [`Pass::probes`] says.
fn look_at<const PROBES: bool>(mm: &MmWithUser, regions: &mut [Region], pass: &mut Pass<'_>) {
    let mut cursor = Cursor::new(mm);
    let mut remembered = Remembered::nothing();
    for batch in regions.chunks_mut(BATCH) {
        cursor.relax();
        for region in batch {
            if let (true, Some(addr)) = (PROBES, region.sample()) {
                // CAST: Both have 64 bits.
                let entry = cursor.at(addr as usize);
                pass.probe(region, entry.as_ref().map(Entry::attributes).as_ref());
            }
            pass.check(region, |addr| {
                // CAST: Both have 64 bits.
                let entry = cursor.at(addr as usize);
                entry.is_some_and(|entry| accessed(&entry, &remembered))
            });
            if pass.prepares() && region.sample().is_none() {
                // CAST: Both have 64 bits.
                let addr = pass.pick(region) as usize;
                if let Some(entry) = cursor.at(addr) {
                    prepare(&entry, &mut remembered);
                }
            }
        }
    }
}

/// A pass over an address space that is gone.
fn see_nothing(regions: &mut [Region], pass: &mut Pass<'_>) {
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

/// Whether there was an access since the preparation.
#[inline]
fn accessed(entry: &Entry<'_>, remembered: &Remembered) -> bool {
    entry.young() || remembered.young(entry.start(), || entry.folio_id())
}

/// Forgets past accesses, except for the regions that are still to be checked in this pass.
#[inline(always)]
fn prepare(entry: &Entry<'_>, remembered: &mut Remembered) {
    let forgotten = entry.mkold();
    remembered.prepared(entry.start(), || entry.folio_id(), forgotten);
}
