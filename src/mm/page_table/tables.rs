// SPDX-License-Identifier: GPL-2.0

//! Page tables: PMD tables and the levels above, and the tables whose entries map memory, with their
//! locks.
//!
//! This file does what `pte_offset_map_lock()` and `pmd_trans_huge_lock()` do in the kernel.
//! Neither is available to modules.

use core::ptr::NonNull;

use kernel::{
    bindings as c,
    mm::MmWithUser,
    sync::rcu, //
};

use super::{
    hugetlb::TablesLock,
    pte::{
        Frames,
        Leaf,
        Upper, //
    },
    vma::{
        Area,
        Span, //
    }, //
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

/// A page table has `1 << ENTRIES_SHIFT` entries on each level.
const ENTRIES_SHIFT: u32 = c::PMD_SHIFT - c::PAGE_SHIFT;

/// A locked page table with entries that map memory.
///
/// # Invariants
///
/// - `entries` is the first entry of a page table that is in place. The entry of an address that
///   the table was locked for maps `1 << shift` bytes, or nothing.
/// - This holds as long as this value exists. Meanwhile, only its owner and the CPU change such an
///   entry.
pub(super) struct LeafTable {
    entries: NonNull<usize>,
    shift: u32,
    /// The mask that aligns an address down to the block that an entry maps.
    mask: usize,
    /// Declared before `tables`, so that it is dropped first.
    lock: Lock,
    /// The hugetlb VMA lock, for a VMA of hugetlbfs.
    tables: Option<TablesLock>,
}

impl LeafTable {
    /// Locks the page table with the entry that maps an address. The table is then locked for all
    /// addresses that have the same PMD entry. Returns `None` if nothing is mapped there: the PMD
    /// entry is empty, or is a swap or migration entry.
    ///
    /// # Safety
    ///
    /// - `addr` must be in the span of `directory`, and in a VMA of `mm` that is not one of
    ///   hugetlbfs.
    /// - That VMA must be locked, or an rmap lock must be held under which it is linked. The result
    ///   must be dropped before this lock is released.
    /// - The thread must hold no page table lock.
    pub(super) unsafe fn lock(
        mm: *mut c::mm_struct,
        directory: &Directory,
        frames: &Frames,
        addr: usize,
        _rcu: &rcu::Guard,
    ) -> Option<Self> {
        let pmd = directory.entry(addr);
        loop {
            // SAFETY: By the safety requirements the PMD table stays in place. The entry may change
            // concurrently; it is read with one aligned load.
            let value = unsafe { pmd.read_volatile() };
            match Upper::of(value.pmd) {
                Upper::Absent => return None,
                Upper::Table => {
                    // SAFETY: No page table lock is held by this thread. The PMD entry pointed to
                    // the table when it was read, under `_rcu`. The table and its lock exist until
                    // `_rcu` is released, and longer if the check below finds the table in place:
                    // - `zap_pte_range()`, `retract_page_tables()` and `collapse_pte_mapped_thp()`
                    //   free a table after a grace period.
                    // - `free_pgtables()` and `exit_mmap()` are excluded by the caller's lock, see
                    //   `Cursor` and `MappingLock`.
                    // - `collapse_huge_page()` deposits the table, which may later be freed without
                    //   a grace period. It collapses only an anonymous VMA that spans the whole PMD
                    //   range. So this is the VMA of `addr`, and the table serves no other VMA. It
                    //   clears the PMD entry with this VMA write-locked, and with the rwsem of the
                    //   root of its `anon_vma` held for writing. All `anon_vma`s of a VMA have the
                    //   same root, and an anonymous VMA is linked under no other rmap lock. The
                    //   caller has held one of the two locks for reading since before the entry was
                    //   read, so the entry was not cleared since. That `collapse_huge_page()` drops
                    //   the rmap lock before it deposits the table does no harm: the entry is none
                    //   from before then until it maps the huge page.
                    let table = unsafe {
                        bindings::damon_rs_helper_pte_table_lock(mm, frames.table(value))
                    };
                    // INVARIANT: The helper has acquired the lock.
                    let lock = Lock(table.lock);
                    // The PMD entry stops pointing to this table only under the table's lock, or
                    // with the VMA write-locked and its rmap locks held for writing
                    // (`collapse_huge_page()`, `move_normal_pmd()`), which the caller's lock
                    // excludes. If the entry still has the same value, the table is in place and
                    // stays there until it is unlocked.
                    // SAFETY: By the safety requirements the PMD table stays in place.
                    if unsafe { pmd.read_volatile() }.pmd == value.pmd {
                        // INVARIANT: The table is in place, and is locked.
                        return Some(Self {
                            // SAFETY: `ptes` is an address in the direct map, so it is not null.
                            entries: unsafe { NonNull::new_unchecked(table.ptes.cast()) },
                            shift: c::PAGE_SHIFT,
                            mask: mask(c::PAGE_SHIFT),
                            lock,
                            tables: None,
                        });
                    }
                }
                // The VMA is not one of hugetlbfs, so this can only be a transparent huge page.
                Upper::Huge if cfg!(not(CONFIG_TRANSPARENT_HUGEPAGE)) => return None,
                Upper::Huge => {
                    let lock = directory.lock();
                    // SAFETY: By the safety requirements the PMD table stays in place, and so does
                    // its lock. This thread holds no page table lock.
                    unsafe { c::spin_lock(lock) };
                    // INVARIANT: The lock was acquired above.
                    let lock = Lock(lock);
                    // SAFETY: By the safety requirements the PMD table stays in place.
                    if matches!(Upper::of(unsafe { pmd.read_volatile() }.pmd), Upper::Huge) {
                        // INVARIANT: A PMD entry that maps memory is split, moved and zapped only
                        // under this lock.
                        return Some(Self {
                            entries: NonNull::new(directory.first().cast())?,
                            shift: c::PMD_SHIFT,
                            mask: mask(c::PMD_SHIFT),
                            lock,
                            tables: None,
                        });
                    }
                }
            }
        }
    }

    /// Locks the page table with the entry of an address in a VMA of hugetlbfs with pages of
    /// `1 << shift` bytes. Returns `None` if there is no table. Also returns the range of addresses
    /// for which this is the result, as far as they are in the VMA.
    ///
    /// Sleeps while another thread holds the hugetlb VMA lock for writing.
    ///
    /// # Safety
    ///
    /// `area` must be a VMA of `mm` and of hugetlbfs, with pages of `1 << shift` bytes. The result
    /// must be dropped before `area`. The thread must hold no page table lock.
    pub(super) unsafe fn lock_hugetlb(
        mm: &MmWithUser,
        area: &Area<'_>,
        addr: usize,
        shift: u32,
    ) -> (Option<Self>, Span) {
        let span = Span::block(addr, shift.wrapping_add(ENTRIES_SHIFT));
        // SAFETY: By the safety requirements this is a hugetlb VMA. `area` holds its lock and is
        // dropped after the result.
        let tables = unsafe { TablesLock::new(area.as_ptr()) };
        let found = tables.and_then(|tables| {
            let (entry, spinlock) = tables.entry(mm, addr, shift)?;
            // SAFETY: The VMA and the hugetlb VMA lock are held, so the page table stays in place,
            // and so does its lock. This thread holds no page table lock.
            unsafe { c::spin_lock(spinlock) };
            // INVARIANT: The lock was acquired above.
            let lock = Lock(spinlock);
            // INVARIANT: `tables` and `area` keep the page table in place. Its entries are changed
            // only under its lock, which is held.
            Some(Self {
                entries: NonNull::new(entry.wrapping_sub(index(addr, shift)))?,
                shift,
                mask: mask(shift),
                lock,
                tables: Some(tables),
            })
        });
        (found, span)
    }

    /// Returns the position of the entry of an address that the table was locked for.
    #[inline]
    pub(super) fn leaf(&self, addr: usize) -> Leaf {
        Leaf {
            entry: self.entries.as_ptr().wrapping_add(index(addr, self.shift)),
            start: addr & self.mask,
            mask: self.mask,
            hugetlb: self.tables.is_some(),
        }
    }

    /// Returns whether the table depends on the hugetlb VMA lock. Waiters for that lock are not
    /// detected.
    pub(super) fn is_brief(&self) -> bool {
        self.tables.is_some()
    }

    /// Returns whether another thread waits for the page table lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The lock is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_spin_is_contended(self.lock.0) }
    }
}

/// Returns the index of the entry of an address in a table with entries that map `1 << shift`
/// bytes.
#[inline]
fn index(addr: usize, shift: u32) -> usize {
    addr.wrapping_shr(shift) & ((1 << ENTRIES_SHIFT) - 1)
}

/// Returns the mask that aligns an address down to a block of `1 << shift` bytes.
#[inline]
const fn mask(shift: u32) -> usize {
    usize::MAX.wrapping_shl(shift)
}

/// A page table lock that is held.
///
/// # Invariants
///
/// The spinlock is valid, and this value owns it.
struct Lock(*mut c::spinlock_t);

impl Drop for Lock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the spinlock. It does not use it after
        // this call.
        unsafe { c::spin_unlock(self.0) };
    }
}
