// SPDX-License-Identifier: GPL-2.0

//! PMD tables and the levels above.

use kernel::bindings as c;

use super::{
    word::Upper,
    Span, //
};
use crate::bindings;

/// The binary logarithm of the size of the range that a PMD table serves.
const DIRECTORY_SHIFT: u32 = c::PUD_SHIFT;

/// A PMD table, which serves 1 GiB of addresses.
///
/// It stays in place as long as the VMA that it was found for is locked, or as long as an rmap lock
/// is held under which that VMA is linked. This does not hold for hugetlb VMAs: their PMD tables
/// may be unshared.
///
/// # Invariants
///
/// `pmds` is the PMD table of all addresses in `span`, and `lock` is its lock. The span may be
/// empty.
#[derive(Clone, Copy)]
pub(super) struct Directory {
    span: Span,
    pmds: *mut c::pmd_t,
    lock: *mut c::spinlock_t,
}

impl Directory {
    pub(super) const UNKNOWN: Self = Self {
        span: Span::EMPTY,
        pmds: core::ptr::null_mut(),
        lock: core::ptr::null_mut(),
    };

    /// Returns the range of addresses that may be looked up in this table.
    #[inline]
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Finds the PMD table of an address. If there is none, fails with a range of addresses around
    /// it for which this is so.
    ///
    /// A PGD, P4D or PUD entry that points to a table does not change as long as a VMA that the
    /// table serves is locked or linked into the reverse mapping under a lock: see
    /// [`Cursor`](super::Cursor) and `MappingLock`. A PUD entry that maps memory may be split or
    /// zapped at any time, so the PUD entry is read only once.
    ///
    /// # Safety
    ///
    /// - `addr` must be in a VMA of `mm` that is not one of hugetlbfs.
    /// - That VMA must be locked, or an rmap lock must be held under which it is linked. The result
    ///   must be used only for addresses of this VMA and only while this is so.
    pub(super) unsafe fn find(mm: *mut c::mm_struct, addr: usize) -> Result<Self, Span> {
        // SAFETY: The PGD exists as long as the mm, which has a VMA. The tables of the next levels
        // that serve `addr` are not freed or moved by the safety requirements.
        let pud = unsafe { bindings::damon_rs_helper_pud_entry(mm, addr) };
        if pud.is_null() {
            return Err(Span::block(addr, c::P4D_SHIFT));
        }
        // SAFETY: `pud` points to an entry of a table that is not freed. The entry may change
        // concurrently; it is read with one aligned load.
        let pud = unsafe { pud.read_volatile() };
        if !matches!(Upper::of(pud.pud), Upper::Table) {
            return Err(Span::block(addr, DIRECTORY_SHIFT));
        }
        // SAFETY: `pud` is the value of an entry that points to a PMD table. The helper only
        // computes its address.
        let pmds = unsafe { bindings::damon_rs_helper_pmd_table(pud) };
        // INVARIANT: The PUD entry of all addresses of this block points to this table.
        Ok(Self {
            span: Span::block(addr, DIRECTORY_SHIFT),
            pmds,
            // SAFETY: `pmds` is a PMD table of `mm`, which is not freed by the safety requirements.
            lock: unsafe { bindings::damon_rs_helper_pmd_lockptr(mm, pmds) },
        })
    }

    /// Limits the table to the addresses of a range.
    pub(super) fn within(self, span: Span) -> Self {
        // INVARIANT: The new span is part of the old one.
        Self {
            span: self.span.intersection(span),
            ..self
        }
    }

    /// Returns a pointer to the first PMD entry.
    #[inline]
    pub(super) fn first(&self) -> *mut c::pmd_t {
        self.pmds
    }

    /// Returns the lock of the PMD table, which is valid as long as the table.
    #[inline]
    pub(super) fn lock(&self) -> *mut c::spinlock_t {
        self.lock
    }

    /// Returns a pointer to the PMD entry of an address.
    #[inline]
    pub(super) fn entry(&self, addr: usize) -> *mut c::pmd_t {
        // The index is below PTRS_PER_PMD, so the entry is in the table for any address.
        let index = (addr >> c::PMD_SHIFT) & (PTRS_PER_PMD - 1);
        self.pmds.wrapping_add(index)
    }
}

/// The number of entries of a PMD table.
const PTRS_PER_PMD: usize = 1 << (DIRECTORY_SHIFT - c::PMD_SHIFT);
