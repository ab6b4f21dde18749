// SPDX-License-Identifier: GPL-2.0

//! The levels above the leaf tables.

use kernel::bindings as c;

use super::{
    word::Upper,
    Span, //
};
use crate::bindings;

/// How much a table of PMD entries maps.
const DIRECTORY_SHIFT: u32 = c::PUD_SHIFT;

/// A table of PMD entries, 1 GiB of addresses.
///
/// It stays in place as long as the area is locked that it was found for.
///
/// # Invariants
///
/// `pmds` is the table of all addresses in `span`, which may be none, and `lock` is the table's.
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

    /// The addresses that this directory is for.
    #[inline]
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// The table of PMD entries for an address, or for which addresses around it there is none.
    ///
    /// An entry of these levels that is not empty stays as it is while any of the area that it
    /// serves is mapped. The one exception is a PUD entry that maps memory itself: it may be
    /// replaced by a table or emptied at any time, so that is read only once.
    ///
    /// # Safety
    ///
    /// `addr` must be in an area of the mm that is locked, or the lock of a reverse mapping that the
    /// area is in must be held. The result may be used for addresses of this area, as long as this
    /// is so.
    pub(super) unsafe fn find(mm: *mut c::mm_struct, addr: usize) -> Result<Self, Span> {
        // SAFETY: The top-level table exists as long as the mm, and has an entry for any address. Those
        // that it leads to are not freed, as the caller promises.
        let pud = unsafe { bindings::damon_rs_helper_pud_entry(mm, addr) };
        if pud.is_null() {
            return Err(Span::block(addr, c::P4D_SHIFT));
        }
        // SAFETY: The entry is valid; it may change under our eyes.
        let pud = unsafe { pud.read_volatile() };
        if !matches!(Upper::of(pud.pud), Upper::Table) {
            return Err(Span::block(addr, DIRECTORY_SHIFT));
        }
        // SAFETY: The value is that of an entry that points to a table.
        let pmds = unsafe { bindings::damon_rs_helper_pmd_table(pud) };
        // INVARIANT: This is the table that the PUD entry of these addresses points to.
        Ok(Self {
            span: Span::block(addr, DIRECTORY_SHIFT),
            pmds,
            // SAFETY: The table is the mm's, and is not freed, as the caller promises.
            lock: unsafe { bindings::damon_rs_helper_pmd_lockptr(mm, pmds) },
        })
    }

    /// The same, for no addresses but these.
    pub(super) fn within(self, span: Span) -> Self {
        // INVARIANT: It is the table of these addresses, if it was that of more.
        Self {
            span: self.span.intersection(span),
            ..self
        }
    }

    /// The first PMD entry.
    #[inline]
    pub(super) fn first(&self) -> *mut c::pmd_t {
        self.pmds
    }

    /// The lock of all its entries, which is there as long as the directory is.
    #[inline]
    pub(super) fn lock(&self) -> *mut c::spinlock_t {
        self.lock
    }

    /// The PMD entry of an address of this directory.
    #[inline]
    pub(super) fn entry(&self, addr: usize) -> *mut c::pmd_t {
        // A table has this many entries, whatever the address is.
        let index = (addr >> c::PMD_SHIFT) & (PTRS_PER_PMD - 1);
        self.pmds.wrapping_add(index)
    }
}

/// Entries in a table of PMD entries.
const PTRS_PER_PMD: usize = 1 << (DIRECTORY_SHIFT - c::PMD_SHIFT);
