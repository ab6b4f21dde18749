// SPDX-License-Identifier: GPL-2.0

//! The physical address space.
//!
//! A sample is one page of memory. Preparing it clears the accesses to its folio: in the page
//! tables of all processes that map it, in their secondary MMUs, and in its idle flag. Checking it
//! looks for new accesses in the same places. Memory that is not user memory (free, the kernel's,
//! offline, or none at all) counts as not accessed.
//!
//! Addresses of regions are in units of `addr_unit` bytes, so that machines with wider addresses
//! than those of the engine can be monitored.

use kernel::{
    prelude::*, //
};

mod actions;

use super::exchange::{
    Observer,
    Place, //
};
use crate::{
    cast::{
        to_usize,
        PAGE_SIZE, //
    },
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
        cond_resched,
        Folio,
        FolioId,
        Folios,
        Mappings,
        ReverseMap, //
    }, //
};

/// The number of regions after which a pass releases its locks and calls `cond_resched()`.
const BATCH: usize = 32;

/// Monitoring operations for physical memory.
pub struct Paddr {
    map: ReverseMap,
    /// The size of the address unit in bytes, not zero.
    addr_unit: u64,
    last: LastFolio,
    others: Observer,
}

impl Paddr {
    /// Fails with `EINVAL` if the kernel's rmap functions were not found, or if `addr_unit` is
    /// zero.
    pub(super) fn new(addr_unit: u64) -> Result<Self> {
        if addr_unit == 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            map: ReverseMap::get().ok_or(EINVAL)?,
            addr_unit,
            last: LastFolio::none(),
            others: Observer::new(),
        })
    }

    /// Returns the size of the address unit in bytes.
    pub(super) fn addr_unit(&self) -> u64 {
        self.addr_unit
    }

    /// Returns whether the kernel's rmap functions were found.
    pub(super) fn is_available() -> bool {
        ReverseMap::get().is_some()
    }

    /// Runs a pass. `PROBES` must be equal to [`Pass::probes`].
    fn sample_all<const PROBES: bool>(&mut self, regions: &mut [Region], pass: &mut Pass<'_>) {
        let Self {
            map,
            addr_unit,
            last,
            others,
        } = self;
        let mut folios = Folios::new();
        let mut mappings = map.mappings();
        for batch in regions.chunks_mut(BATCH) {
            for region in batch {
                if let (true, Some(addr)) = (PROBES || pass.checks(), region.sample()) {
                    let folio = folio_at(&mut folios, addr, *addr_unit);
                    if PROBES {
                        pass.probe(region, folio.as_ref().map(Folio::attributes).as_ref());
                    }
                    if pass.checks() {
                        let accessed =
                            folio.is_some_and(|f| accessed(&f, &mut mappings, last, others));
                        pass.record(region, accessed);
                    }
                }
                if pass.prepares() && region.sample().is_none() {
                    let addr = pass.pick(region);
                    let folio = folio_at(&mut folios, addr, *addr_unit);
                    if folio.is_some_and(|f| !prepare(&f, &mut mappings, last, others)) {
                        pass.defer(region);
                    }
                }
            }
            folios.drop_locks();
            mappings.drop_locks();
            cond_resched();
        }
    }
}

/// Returns the folio at an address of a region.
// `always`: a call would cost a third as much as the body.
#[inline(always)]
fn folio_at(folios: &mut Folios, addr: u64, addr_unit: u64) -> Option<Folio> {
    folios.at(to_usize(page_number(addr, addr_unit)?))
}

/// Returns whether there was an access since the sample was prepared.
fn accessed(
    folio: &Folio,
    mappings: &mut Mappings<'_>,
    last: &mut LastFolio,
    others: &Observer,
) -> bool {
    last.accessed(folio.id(), || {
        let young = mappings.young(folio);
        let id = folio.id().into();
        if young != Some(true) && others.found([Place::Whole(id), Place::PartOf(id)]) {
            return Some(true);
        }
        young
    })
}

/// Clears past accesses, and keeps the result for regions that are checked later in this pass, and
/// for other kdamonds. Returns `false` if they may not all have been cleared. A check of the sample
/// would tell nothing.
fn prepare(
    folio: &Folio,
    mappings: &mut Mappings<'_>,
    last: &mut LastFolio,
    others: &Observer,
) -> bool {
    last.prepare(folio.id(), || {
        let mut any = false;
        let accessed = mappings.mkold(folio, |place| {
            others.cleared(Place::Whole(place));
            any = true;
        });
        if any {
            others.cleared(Place::PartOf(folio.id().into()));
        }
        accessed
    })
}

/// Returns the PFN of an address in units, `None` if the address in bytes does not fit into 64
/// bits.
fn page_number(addr: u64, addr_unit: u64) -> Option<u64> {
    Some(addr.checked_mul(addr_unit)? / PAGE_SIZE)
}

/// Returns the minimum size of a region in units: one page, or one unit if that is larger.
fn min_region_sz(addr_unit: u64) -> u64 {
    PAGE_SIZE.checked_div(addr_unit).unwrap_or(0).max(1)
}

impl Operations for Paddr {
    type Space = ();

    /// The result is not a power of two for some units. The engine rejects these.
    fn min_region_sz(&self) -> u64 {
        min_region_sz(self.addr_unit)
    }

    /// The user sets the ranges of physical memory.
    fn ranges(&mut self, (): &()) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    /// All targets are parts of one memory.
    fn memory(&self, (): &()) -> Option<usize> {
        Some(0)
    }

    fn begin_pass(&mut self) {
        self.last = LastFolio::none();
        self.others.begin_pass();
    }

    fn sample(&mut self, (): &(), regions: &mut [Region], pass: &mut Pass<'_>) {
        self.others.begin_target(pass.prepares());
        // Few contexts have probes. The constant saves the others a check for each region.
        if pass.probes() {
            self.sample_all::<true>(regions, pass);
        } else {
            self.sample_all::<false>(regions, pass);
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

    fn supports_nodes(&self) -> bool {
        cfg!(CONFIG_NUMA)
    }

    fn eligible(&mut self, (): &(), region: &Region, nid: i32) -> Eligible {
        self.eligible_in(region, nid)
    }

    fn apply(&mut self, (): &(), region: &Region, attempt: Attempt<'_>) -> Applied {
        self.act(region, attempt)
    }
}

/// The state of a pass for the folio that it has visited last.
///
/// A pass visits each region once. It checks the sample of the last interval, then prepares the
/// next one. Regions are in ascending order, so regions with samples in one folio are adjacent, in
/// one target or at the boundary of two. (If targets are not in ascending order, the engine checks
/// all of them before it prepares one.) The first check or preparation finds out whether the folio
/// was accessed in the interval, and its result is used for all of them: a preparation must not
/// hide an access from regions that are checked later, and another look some microseconds later
/// would find nothing new.
struct LastFolio {
    folio: Option<FolioId>,
    /// Whether the folio was accessed, `None` if that is not known yet.
    accessed: Option<bool>,
    /// Whether all accesses were cleared.
    old: bool,
}

impl LastFolio {
    /// Creates the state of a pass that has visited no folio.
    const fn none() -> Self {
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
                ..Self::none()
            };
        }
    }

    /// Returns whether a folio was accessed. Calls `look` if that is not known yet. If `look`
    /// cannot determine it, the folio counts as not accessed.
    fn accessed(&mut self, folio: FolioId, look: impl FnOnce() -> Option<bool>) -> bool {
        self.go_to(folio);
        if self.accessed.is_none() {
            self.accessed = look();
        }
        self.accessed.unwrap_or(false)
    }

    /// Clears the accesses to a folio by calling `forget`, unless that was done before. `forget`
    /// returns whether there were any, `None` if it could not clear all. Returns whether all were
    /// cleared.
    fn prepare(&mut self, folio: FolioId, forget: impl FnOnce() -> Option<bool>) -> bool {
        self.go_to(folio);
        if !self.old {
            if let Some(accessed) = forget() {
                self.old = true;
                self.accessed = self.accessed.or(Some(accessed));
            }
        }
        self.old
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
        // The address in bytes does not fit into 64 bits.
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
    fn an_access_counts_for_all_regions_in_a_folio() {
        let mut last = LastFolio::none();
        assert!(last.accessed(A, || Some(true)));
        assert!(last.prepare(A, || Some(true)));
        // The access was just cleared.
        assert!(last.accessed(A, || Some(false)));
        assert!(last.prepare(A, || Some(false)));
        assert!(last.accessed(A, || Some(false)));
        // The state is that of one folio: the result for another is not kept.
        assert!(!last.accessed(B, || Some(false)));
        assert!(!last.accessed(A, || Some(false)));
    }

    #[test]
    fn a_preparation_does_not_hide_an_access() {
        // The old sample of the first region was in another folio.
        let mut last = LastFolio::none();
        assert!(last.prepare(A, || Some(true)));
        assert!(last.accessed(A, || Some(false)));
        let mut last = LastFolio::none();
        assert!(last.prepare(A, || Some(false)));
        assert!(!last.accessed(A, || Some(false)));
    }

    #[test]
    fn an_incomplete_result_is_tried_again() {
        let mut last = LastFolio::none();
        assert!(!last.accessed(A, || None));
        assert!(last.accessed(A, || Some(true)));
        let mut last = LastFolio::none();
        assert!(!last.prepare(A, || None));
        assert!(last.accessed(A, || Some(true)));
        let mut forgotten = false;
        assert!(last.prepare(A, || {
            forgotten = true;
            Some(true)
        }));
        assert!(forgotten);
        assert!(last.prepare(A, || {
            forgotten = false;
            Some(true)
        }));
        assert!(forgotten);
    }
}
