// SPDX-License-Identifier: GPL-2.0

//! What an entry of a page table says, on any level, as on x86.
//!
//! C header: [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use kernel::bindings as c;

use crate::bindings;

/// The processor follows the entry.
pub(super) const PRESENT: usize = 1 << c::_PAGE_BIT_PRESENT;
/// The entry of an upper level maps memory.
const PSE: usize = 1 << c::_PAGE_BIT_PSE;
/// The memory is there, but the processor must not follow the entry: `PROT_NONE`, or to notice an
/// access for NUMA balancing.
const PROTNONE: usize = 1 << c::_PAGE_BIT_PROTNONE;
/// The processor has followed the entry.
const ACCESSED: usize = 1 << c::_PAGE_BIT_ACCESSED;
/// The memory is not the process's own: a zero page, or without a folio.
pub(super) const SPECIAL: usize = 1 << c::_PAGE_BIT_SPECIAL;

/// An entry of a page table, and what it said when it was read.
///
/// # Invariants
///
/// The pointer is to an entry of a page table whose lock is held as long as this value exists, so
/// that nobody but the processor changes it.
pub(in crate::mm) struct EntryWord {
    entry: *mut usize,
    value: usize,
}

impl EntryWord {
    /// Reads an entry.
    ///
    /// # Safety
    ///
    /// The pointer must be to an entry of a page table that maps memory, or none. The lock of the
    /// table must be held as long as the result lives.
    #[inline]
    pub(in crate::mm) unsafe fn read(entry: *mut usize) -> Self {
        // INVARIANT: The caller promises that the entry is there, and the lock held.
        // SAFETY: As above. The processor may set its accessed and dirty bits.
        let value = unsafe { entry.read_volatile() };
        Self { entry, value }
    }

    /// What it said.
    #[inline]
    pub(super) fn value(&self) -> usize {
        self.value
    }

    /// Whether it maps memory, not says where that has gone.
    #[inline]
    pub(in crate::mm) fn is_present(&self) -> bool {
        self.value & (PRESENT | PROTNONE) != 0
    }

    /// Whether it maps memory that is the process's own.
    #[inline]
    pub(super) fn maps_folio(&self) -> bool {
        self.is_present() && self.value & SPECIAL == 0
    }

    /// Whether the processor had followed it.
    #[inline]
    pub(in crate::mm) fn accessed(&self) -> bool {
        self.value & ACCESSED != 0
    }

    /// Takes the accessed bit away, and tells whether there was one. To be called for an entry that
    /// is present.
    #[inline]
    pub(in crate::mm) fn test_and_clear_accessed(&self) -> bool {
        // Most entries have none, and a load is cheaper than an atomic operation.
        // SAFETY: By the type invariants the entry is valid. The operation is atomic, as setting
        // the bit is in the processor. Clearing it changes nothing for who uses the entry.
        self.accessed() && unsafe { bindings::damon_rs_helper_test_and_clear_young(self.entry) }
    }
}

/// What the value of an entry of an upper level means.
pub(super) enum Upper {
    /// There is nothing: it is empty, or says where the memory has gone.
    Absent,
    /// It points to a table of the next level.
    Table,
    /// It maps memory itself, or says where that is going to.
    Huge,
}

impl Upper {
    #[inline]
    pub(super) fn of(value: usize) -> Self {
        // What most entries are is asked first, at once.
        if value & (PRESENT | PSE) == PRESENT {
            Self::Table
        } else if value & PSE != 0 {
            Self::Huge
        } else {
            Self::Absent
        }
    }
}
