// SPDX-License-Identifier: GPL-2.0

//! The value of a page table entry on any level, as on x86.
//!
//! C header: [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use kernel::bindings as c;

use crate::bindings;

/// The present bit.
pub(super) const PRESENT: usize = 1 << c::_PAGE_BIT_PRESENT;
/// Set in an entry above PTE level that maps memory.
const PSE: usize = 1 << c::_PAGE_BIT_PSE;
/// Memory is mapped, but an access has to fault: `PROT_NONE`, or a NUMA hinting fault.
const PROTNONE: usize = 1 << c::_PAGE_BIT_PROTNONE;
/// The accessed bit. The CPU sets it when it uses the entry for a translation.
const ACCESSED: usize = 1 << c::_PAGE_BIT_ACCESSED;
/// The special bit: the entry maps a zero page, or memory without a refcounted folio.
pub(super) const SPECIAL: usize = 1 << c::_PAGE_BIT_SPECIAL;

/// A page table entry, and the value that was read from it.
///
/// # Invariants
///
/// `entry` points to a page table entry. The lock of its table is held as long as this value
/// exists, so only the CPU and the lock's owner change the entry.
pub(in crate::mm) struct EntryWord {
    entry: *mut usize,
    value: usize,
}

impl EntryWord {
    /// Reads a page table entry.
    ///
    /// # Safety
    ///
    /// `entry` must point to a page table entry on a level that can map memory. The lock of its
    /// table must be held as long as the result exists.
    #[inline]
    pub(in crate::mm) unsafe fn read(entry: *mut usize) -> Self {
        // INVARIANT: By the safety requirements `entry` points to an entry, and the lock of its
        // table is held as long as the result exists.
        // SAFETY: By the safety requirements the pointer is valid and aligned. The CPU may set the
        // accessed and dirty bits concurrently; the entry is read with one load.
        let value = unsafe { entry.read_volatile() };
        Self { entry, value }
    }

    /// Returns the value that was read.
    #[inline]
    pub(super) fn value(&self) -> usize {
        self.value
    }

    /// Returns whether the entry maps memory, like `pte_present()`: it is neither empty nor a swap
    /// or migration entry.
    #[inline]
    pub(in crate::mm) fn is_present(&self) -> bool {
        self.value & (PRESENT | PROTNONE) != 0
    }

    /// Returns whether the entry maps memory with a refcounted folio.
    #[inline]
    pub(super) fn maps_folio(&self) -> bool {
        self.is_present() && self.value & SPECIAL == 0
    }

    /// Returns whether the accessed bit was set.
    #[inline]
    pub(in crate::mm) fn accessed(&self) -> bool {
        self.value & ACCESSED != 0
    }

    /// Clears the accessed bit and returns whether it was set. The entry must be present.
    #[inline]
    pub(in crate::mm) fn test_and_clear_accessed(&self) -> bool {
        // Most entries have it clear, and a load is cheaper than an atomic operation.
        // SAFETY: By the type invariants the entry is valid. The operation is atomic, so it loses
        // no bit that the CPU sets. Clearing the accessed bit does not change the mapping.
        self.accessed() && unsafe { bindings::damon_rs_helper_test_and_clear_young(self.entry) }
    }
}

/// The kind of an entry above PTE level.
pub(super) enum Upper {
    /// The entry is empty, or is a swap or migration entry. Bit 7, which is `PSE`, is zero in the
    /// latter.
    Absent,
    /// The entry points to a table of the next level.
    Table,
    /// The entry maps memory. The present bit may be clear for a moment: `pmd_invalidate()` clears
    /// it before a split.
    Huge,
}

impl Upper {
    #[inline]
    pub(super) fn of(value: usize) -> Self {
        // The most common kind first, in one comparison.
        if value & (PRESENT | PSE) == PRESENT {
            Self::Table
        } else if value & PSE != 0 {
            Self::Huge
        } else {
            Self::Absent
        }
    }
}
