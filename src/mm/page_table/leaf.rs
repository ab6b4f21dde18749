// SPDX-License-Identifier: GPL-2.0

//! The tables that map memory, and their locks.
//!
//! This is what `pte_offset_map_lock()` and `pmd_trans_huge_lock()` do for the kernel's own code;
//! neither is to be had for a module.

use kernel::{
    bindings as c,
    mm::MmWithUser,
    sync::rcu, //
};

use super::{
    hugetlb::TablesLock,
    word::{
        PRESENT,
        PSE, //
    },
    Area, //
};
use crate::bindings;

/// What a PMD entry leads to.
///
/// # Invariants
///
/// As long as a value other than `Absent` exists, the table of PTE entries or the PMD entry that it
/// points to is part of the page table, and is changed by nobody but this value's owner and the
/// processor.
pub(super) enum LeafTable {
    /// Nothing that is mapped: an empty entry, or one that says where the memory has gone.
    Absent,
    /// A table of PTE entries, of which this is the first.
    Ptes { ptes: *mut c::pte_t, lock: Lock },
    /// The PMD entry itself maps memory: a transparent huge page.
    Pmd { pmd: *mut c::pmd_t, lock: Lock },
    /// An entry for a page of hugetlbfs, of `1 << shift` bytes.
    HugeTlb {
        entry: *mut usize,
        shift: u32,
        /// Declared before that of the tables because it is dropped in this order.
        lock: Lock,
        _tables: TablesLock,
    },
}

/// A locked spinlock of the page table.
///
/// # Invariants
///
/// The spinlock is valid, and this value owns it.
pub(super) struct Lock {
    spinlock: *mut c::spinlock_t,
    /// Held as by `pte_offset_map_lock()`: a leaf table that is taken away is freed no earlier than
    /// this.
    _rcu: rcu::Guard,
}

impl LeafTable {
    /// Locks what a PMD entry leads to.
    ///
    /// # Safety
    ///
    /// The PMD entry must be in a directory that is part of `mm`'s page table, for an address in an
    /// area that is locked, and the result must not outlive this lock.
    pub(super) unsafe fn lock(mm: &MmWithUser, pmd: *mut c::pmd_t) -> Self {
        loop {
            // A leaf table that we find is not freed before this guard is dropped.
            let rcu = rcu::read_lock();
            // SAFETY: The caller promises that the entry is valid. Others may be changing it.
            let value = unsafe { pmd.read_volatile() };
            match Kind::of(value) {
                Kind::Absent => return Self::Absent,
                Kind::Table => {
                    // SAFETY: The entry pointed to a table when it was read, and RCU keeps that one
                    // and its lock from being freed.
                    let (ptes, lock) = unsafe {
                        let table = bindings::damon_rs_helper_pte_table(mm.as_raw(), value);
                        (table.ptes, Lock::new(table.lock, rcu))
                    };
                    // Whoever takes a leaf table away changes the PMD entry under the lock of the
                    // leaf table, or with the area locked for writing, which is excluded. If the
                    // entry is what it was, the table is still in place, and stays there until it
                    // is unlocked.
                    // SAFETY: As above.
                    if unsafe { pmd.read_volatile() }.pmd == value.pmd {
                        // INVARIANT: See above.
                        return Self::Ptes { ptes, lock };
                    }
                }
                Kind::Huge => {
                    // SAFETY: The entry is valid, so its table is, and with it the lock.
                    let lock = unsafe {
                        Lock::new(bindings::damon_rs_helper_pmd_lockptr(mm.as_raw(), pmd), rcu)
                    };
                    // SAFETY: As above.
                    if matches!(Kind::of(unsafe { pmd.read_volatile() }), Kind::Huge) {
                        // INVARIANT: Huge entries are split, moved and removed under this lock.
                        return Self::Pmd { pmd, lock };
                    }
                }
            }
        }
    }

    /// Locks the entry of an address in an area of hugetlbfs whose pages have `1 << shift` bytes.
    ///
    /// Sleeps until whoever changes the area's tables is done.
    ///
    /// # Safety
    ///
    /// The area must be one of `mm`, and the result must not outlive its lock.
    pub(super) unsafe fn lock_hugetlb(
        mm: &MmWithUser,
        area: &Area<'_>,
        addr: usize,
        shift: u32,
    ) -> Self {
        // SAFETY: The caller promises that the area stays locked. That it is one of hugetlbfs shows
        // in its having a size of pages.
        let Some(tables) = (unsafe { TablesLock::new(area.as_ptr()) }) else {
            return Self::Absent;
        };
        let Some((entry, spinlock)) = tables.entry(mm, addr, shift) else {
            return Self::Absent;
        };
        // INVARIANT: With the area and its tables locked the entry stays in place, and it is changed
        // under the spinlock.
        Self::HugeTlb {
            entry,
            shift,
            // SAFETY: The spinlock is that of a table that stays in place.
            lock: unsafe { Lock::new(spinlock, rcu::read_lock()) },
            _tables: tables,
        }
    }

    /// Whether it is of a kind that is not worth keeping for addresses that are not at hand: there
    /// is nothing, or what keeps it may be wanted by somebody and does not tell.
    pub(super) fn is_brief(&self) -> bool {
        matches!(self, Self::Absent | Self::HugeTlb { .. })
    }

    /// Whether another thread waits for the lock.
    pub(super) fn is_contended(&self) -> bool {
        match self {
            Self::Absent => false,
            // SAFETY: The spinlock is valid by the type invariants.
            Self::Ptes { lock, .. } | Self::Pmd { lock, .. } | Self::HugeTlb { lock, .. } => unsafe {
                bindings::damon_rs_helper_spin_is_contended(lock.spinlock)
            },
        }
    }
}

impl Lock {
    /// # Safety
    ///
    /// The spinlock must be valid as long as the result lives. The caller must not hold it.
    unsafe fn new(spinlock: *mut c::spinlock_t, rcu: rcu::Guard) -> Self {
        // SAFETY: The caller promises that the spinlock is valid.
        unsafe { c::spin_lock(spinlock) };
        // INVARIANT: We have just taken it.
        Self {
            spinlock,
            _rcu: rcu,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the spinlock, and this value is gone afterwards.
        unsafe { c::spin_unlock(self.spinlock) };
    }
}

/// What the value of a PMD entry means, on x86.
enum Kind {
    Absent,
    Table,
    Huge,
}

impl Kind {
    fn of(value: c::pmd_t) -> Self {
        if value.pmd & PSE != 0 {
            // Transparent, for areas of hugetlbfs are not walked this way.
            if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) {
                Self::Huge
            } else {
                Self::Absent
            }
        } else if value.pmd & PRESENT != 0 {
            Self::Table
        } else {
            Self::Absent
        }
    }
}
