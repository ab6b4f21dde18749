// SPDX-License-Identifier: GPL-2.0

//! The physical address space.
//!
//! A sample is one page of memory. To prepare it is to forget the accesses to the folio that it is
//! part of: in the page tables of all processes that map it, in their secondary MMUs and in its idle
//! flag; to check it is to look for new ones in the same places. Memory that no user memory is in
//! (free, the kernel's, offline, or none at all) is not accessed.
//!
//! Addresses of regions are in units of `addr_unit` bytes, so that machines whose addresses are
//! wider than those of the engine can be monitored.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

mod actions;

use crate::{
    engine::{
        Action,
        AddrRange,
        Applied,
        Attempt,
        Eligible,
        Operations,
        Pass,
        Region,
        SchemeParams, //
    },
    mm::{
        give_way,
        Folio,
        FolioId,
        Folios,
        Mappings,
        ReverseMap, //
    }, //
};

/// After how many regions other threads are given way to, and locks to whoever changes mappings.
const BATCH: usize = 32;

/// Monitors physical memory.
pub struct Paddr {
    map: ReverseMap,
    /// Bytes in a unit of addresses, not zero.
    addr_unit: u64,
}

impl Paddr {
    /// Fails with `EINVAL` if the kernel has not what is needed, or a unit of zero bytes is asked
    /// for.
    pub(super) fn new(addr_unit: u64) -> Result<Self> {
        if addr_unit == 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            map: ReverseMap::get().ok_or(EINVAL)?,
            addr_unit,
        })
    }

    /// Whether this kernel has what is needed.
    pub(super) fn is_available() -> bool {
        ReverseMap::get().is_some()
    }

    /// The folio at an address of a region.
    // Always: a call would cost a third of what is done here.
    #[inline(always)]
    fn folio(&self, folios: &mut Folios, addr: u64) -> Option<Folio> {
        folios.at(usize::try_from(page_number(addr, self.addr_unit)?).ok()?)
    }

    /// A pass. `PROBES` is what [`Pass::probes`] says.
    fn look_at<const PROBES: bool>(&self, regions: &mut [Region], pass: &mut Pass<'_>) {
        let mut folios = Folios::new();
        let mut mappings = self.map.mappings();
        let mut seen = Seen::nothing();
        for batch in regions.chunks_mut(BATCH) {
            for region in batch {
                if let (true, Some(addr)) = (PROBES || pass.checks(), region.sample()) {
                    let folio = self.folio(&mut folios, addr);
                    if PROBES {
                        pass.probe(region, folio.as_ref().map(Folio::attributes).as_ref());
                    }
                    if pass.checks() {
                        let accessed =
                            folio.is_some_and(|f| accessed(&f, &mut mappings, &mut seen));
                        pass.record(region, accessed);
                    }
                }
                if pass.prepares() && region.sample().is_none() {
                    let addr = pass.pick(region);
                    if let Some(folio) = self.folio(&mut folios, addr) {
                        prepare(&folio, &mut mappings, &mut seen);
                    }
                }
            }
            folios.relax();
            mappings.relax();
            give_way();
        }
    }
}

/// Whether there was an access since the preparation.
fn accessed(folio: &Folio, mappings: &mut Mappings<'_>, seen: &mut Seen) -> bool {
    seen.accessed(folio.id(), || mappings.young(folio))
}

/// Forgets past accesses, except for the regions that are still to be checked in this pass.
fn prepare(folio: &Folio, mappings: &mut Mappings<'_>, seen: &mut Seen) {
    seen.prepare(folio.id(), || mappings.mkold(folio));
}

/// The number of the page that is `addr` units from the beginning, `None` where no address is.
fn page_number(addr: u64, addr_unit: u64) -> Option<u64> {
    // CAST: A page has less than 2^64 bytes.
    Some(addr.checked_mul(addr_unit)? / PAGE_SIZE as u64)
}

/// The smallest size of a region in units: a page, or one unit where that is more.
fn min_region_sz(addr_unit: u64) -> u64 {
    // CAST: As above.
    (PAGE_SIZE as u64)
        .checked_div(addr_unit)
        .unwrap_or(0)
        .max(1)
}

impl Operations for Paddr {
    type Space = ();

    /// Not a power of two for some units, which the engine refuses.
    fn min_region_sz(&self) -> u64 {
        min_region_sz(self.addr_unit)
    }

    /// Physical memory is what the user says.
    fn ranges(&mut self, (): &()) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    fn sample(&mut self, (): &(), regions: &mut [Region], pass: &mut Pass<'_>) {
        // Most have no probes, and shall not be asked about them at every region.
        if pass.probes() {
            self.look_at::<true>(regions, pass);
        } else {
            self.look_at::<false>(regions, pass);
        }
    }

    fn is_valid(&self, (): &()) -> bool {
        true
    }

    fn outlives_targets(&self) -> bool {
        true
    }

    fn same_space(&self, (): &(), old: &Self, (): &()) -> bool {
        self.addr_unit == old.addr_unit
    }

    fn supports(&self, action: Action) -> bool {
        actions::supports(action)
    }

    fn acts(&self, scheme: &SchemeParams) -> bool {
        self.supports(scheme.action) && !scheme.only_counts()
    }

    fn knows_nodes(&self) -> bool {
        cfg!(CONFIG_NUMA)
    }

    fn eligible(&mut self, (): &(), region: &Region, nid: i32) -> Eligible {
        self.eligible_in(region, nid)
    }

    fn apply(&mut self, (): &(), region: &Region, attempt: Attempt<'_>) -> Applied {
        self.act(region, attempt)
    }
}

/// What a pass knows of the folio that it was last at.
///
/// A pass goes through the regions once, and at each of them checks the sample of the last
/// interval, then prepares the next one. Regions ascend, so those with samples in one folio come in
/// a row. The first of them to be checked or prepared finds out whether the folio was accessed in
/// the interval, and the answer is that of all: what is prepared meanwhile must not hide an access
/// from those that are checked later, and there is nothing new to be seen some microseconds later.
struct Seen {
    folio: Option<FolioId>,
    /// Whether it was accessed, once that is known.
    accessed: Option<bool>,
    /// Whether all accesses were forgotten.
    old: bool,
}

impl Seen {
    /// Nothing was looked at yet.
    const fn nothing() -> Self {
        Self {
            folio: None,
            accessed: None,
            old: false,
        }
    }

    fn go_to(&mut self, folio: FolioId) {
        if self.folio != Some(folio) {
            *self = Self {
                folio: Some(folio),
                ..Self::nothing()
            };
        }
    }

    /// Whether a folio was accessed. Asks for it, if it is not known yet. What cannot be found out
    /// counts as not accessed.
    fn accessed(&mut self, folio: FolioId, look: impl FnOnce() -> Option<bool>) -> bool {
        self.go_to(folio);
        if self.accessed.is_none() {
            self.accessed = look();
        }
        self.accessed.unwrap_or(false)
    }

    /// Has the accesses to a folio forgotten, unless they are. `forget` tells whether there were
    /// any, or `None` if it could not forget all.
    fn prepare(&mut self, folio: FolioId, forget: impl FnOnce() -> Option<bool>) {
        self.go_to(folio);
        if self.old {
            return;
        }
        if let Some(accessed) = forget() {
            self.old = true;
            self.accessed = self.accessed.or(Some(accessed));
        }
    }
}

#[kunit_tests(damon_rs_ops_paddr)]
mod tests {
    use super::*;

    const A: FolioId = FolioId::from_addr(0x40);
    const B: FolioId = FolioId::from_addr(0x80);

    #[test]
    fn units_of_addresses() {
        assert_eq!(page_number(0x1fff, 1), Some(1));
        assert_eq!(page_number(7, 4096), Some(7));
        assert_eq!(page_number(7, 1 << 20), Some(7 << 8));
        assert_eq!(page_number(3, 1000), Some(0));
        assert_eq!(page_number(u64::MAX, 1), Some(u64::MAX >> 12));
        // Beyond what 64 bits can address.
        assert_eq!(page_number(1 << 60, 16), None);
        assert_eq!(page_number(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn smallest_regions() {
        assert_eq!(min_region_sz(1), 4096);
        assert_eq!(min_region_sz(2), 2048);
        assert_eq!(min_region_sz(3), 1365);
        assert_eq!(min_region_sz(4096), 1);
        assert_eq!(min_region_sz(4097), 1);
        assert_eq!(min_region_sz(u64::MAX), 1);
    }

    #[test]
    fn an_access_is_seen_by_all_regions_in_a_folio() {
        let mut seen = Seen::nothing();
        assert!(seen.accessed(A, || Some(true)));
        seen.prepare(A, || Some(true));
        // It has just been forgotten.
        assert!(seen.accessed(A, || Some(false)));
        seen.prepare(A, || Some(false));
        assert!(seen.accessed(A, || Some(false)));
        // Another folio is another matter, and so is the next time.
        assert!(!seen.accessed(B, || Some(false)));
        assert!(!seen.accessed(A, || Some(false)));
    }

    #[test]
    fn a_preparation_does_not_hide_an_access() {
        // The first region had its old sample elsewhere.
        let mut seen = Seen::nothing();
        seen.prepare(A, || Some(true));
        assert!(seen.accessed(A, || Some(false)));
        let mut seen = Seen::nothing();
        seen.prepare(A, || Some(false));
        assert!(!seen.accessed(A, || Some(false)));
    }

    #[test]
    fn what_could_not_be_done_is_tried_again() {
        let mut seen = Seen::nothing();
        assert!(!seen.accessed(A, || None));
        assert!(seen.accessed(A, || Some(true)));
        let mut seen = Seen::nothing();
        seen.prepare(A, || None);
        assert!(seen.accessed(A, || Some(true)));
        let mut forgotten = false;
        seen.prepare(A, || {
            forgotten = true;
            Some(true)
        });
        assert!(forgotten);
        seen.prepare(A, || {
            forgotten = false;
            Some(true)
        });
        assert!(forgotten);
    }
}
