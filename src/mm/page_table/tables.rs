// SPDX-License-Identifier: GPL-2.0

//! Page tables: PMD tables and the levels above, and the tables whose entries map memory, with
//! their locks.
//!
//! This file does what `pte_offset_map_lock()` and `pmd_trans_huge_lock()` do in the kernel.
//! Neither is available to modules.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

use kernel::{
    bindings as c,
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
        HugeTlbVma,
        Span,
        VmaTables, //
    }, //
};
use crate::bindings;

/// The binary logarithm of the size of the range that a PMD table serves.
const PMD_TABLE_SHIFT: u32 = c::PUD_SHIFT;

/// A PMD table, which serves 1 GiB of addresses, as it was found once. It promises nothing.
#[derive(Clone, Copy)]
struct Found {
    mm: *mut c::mm_struct,
    /// The addresses that the table serves.
    block: Span,
    pmds: *mut c::pmd_t,
    lock: *mut c::spinlock_t,
}

impl Found {
    const NONE: Self = Self {
        mm: core::ptr::null_mut(),
        block: Span::EMPTY,
        pmds: core::ptr::null_mut(),
        lock: core::ptr::null_mut(),
    };

    /// Returns a pointer to the PMD entry of an address.
    #[inline]
    fn entry(&self, addr: usize) -> *mut c::pmd_t {
        // The index is below PTRS_PER_PMD, so the entry is in the table for any address.
        let index = (addr >> c::PMD_SHIFT) & (PTRS_PER_PMD - 1);
        self.pmds.wrapping_add(index)
    }

    /// Finds the PMD table of an address. If there is none, fails with a range of addresses around
    /// it for which this is so.
    ///
    /// A PGD, P4D or PUD entry that points to a table does not change as long as the table stays in
    /// place. A PUD entry that maps memory may be split or zapped at any time, so the PUD entry is
    /// read only once.
    fn at(tables: VmaTables<'_>, addr: usize) -> Result<Self, Span> {
        if !tables.span().contains(addr) {
            return Err(Span::new(addr, addr));
        }
        let mm = tables.mm();
        // SAFETY: By the invariants of `VmaTables` the mm is valid, so its PGD exists. The tables
        // of the next levels that serve `addr` are not freed or moved, because `addr` is in `span`.
        let pud = unsafe { bindings::damon_rs_helper_pud_entry(mm, addr) };
        if pud.is_null() {
            return Err(Span::block(addr, c::P4D_SHIFT));
        }
        // SAFETY: `pud` points to an entry of a table that is not freed. The entry may change
        // concurrently; it is read with one aligned load.
        let pud = unsafe { pud.read_volatile() };
        if !matches!(Upper::of(pud.pud), Upper::Table) {
            return Err(Span::block(addr, PMD_TABLE_SHIFT));
        }
        // SAFETY: `pud` is the value of an entry that points to a PMD table. The helper only
        // computes its address.
        let pmds = unsafe { bindings::damon_rs_helper_pmd_table(pud) };
        Ok(Self {
            mm,
            block: Span::block(addr, PMD_TABLE_SHIFT),
            pmds,
            // SAFETY: `pmds` is a PMD table of `mm`. It is not freed, because it serves `addr`.
            lock: unsafe { bindings::damon_rs_helper_pmd_lockptr(mm, pmds) },
        })
    }
}

/// The PMD table of a range of addresses, which stays in place for `'lock`.
///
/// # Invariants
///
/// `found` is a PMD table that serves all addresses in `span`. These are in one VMA that is not one
/// of hugetlbfs, and for all of `'lock` that VMA is locked, or an rmap lock is held under which it
/// is linked. The span may be empty.
pub(super) struct PmdTable<'lock> {
    found: Found,
    span: Span,
    _lock: PhantomData<&'lock ()>,
}

impl<'lock> PmdTable<'lock> {
    /// The table of no address.
    pub(super) const NONE: Self = Self {
        found: Found::NONE,
        span: Span::EMPTY,
        _lock: PhantomData,
    };

    /// Finds the PMD table of an address. If there is none, fails with a range of addresses around
    /// it for which this is so, as far as they are in the VMA.
    pub(super) fn find(tables: VmaTables<'lock>, addr: usize) -> Result<Self, Span> {
        let found = Found::at(tables, addr)?;
        // INVARIANT: The PUD entry of all addresses of the block points to this table. The rest are
        // the invariants of `VmaTables`.
        Ok(Self {
            found,
            span: found.block.intersection(tables.span()),
            _lock: PhantomData,
        })
    }

    /// Returns the range of addresses that may be looked up in this table.
    #[inline]
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Returns the PMD entry of an address, `None` if it is not in the span.
    #[inline]
    pub(super) fn entry(&self, addr: usize) -> Option<PmdEntry<'_, 'lock>> {
        // INVARIANT: The address is in the span. The rest are the invariants of this type.
        self.span.contains(addr).then(|| PmdEntry {
            pmd: self.found.entry(addr),
            found: &self.found,
            _lock: PhantomData,
        })
    }
}

/// A PMD entry of addresses of a VMA, which stays in place for `'lock`.
///
/// # Invariants
///
/// `pmd` is an entry of the PMD table `found`, for addresses in a VMA that is not one of hugetlbfs.
/// For all of `'lock` that VMA is locked, or an rmap lock is held under which it is linked.
pub(super) struct PmdEntry<'a, 'lock> {
    pmd: *mut c::pmd_t,
    found: &'a Found,
    _lock: PhantomData<&'lock ()>,
}

impl PmdEntry<'_, '_> {
    /// Reads the entry.
    #[inline]
    fn read(&self) -> c::pmd_t {
        // SAFETY: By the type invariants this is an entry of a PMD table that stays in place. It
        // may change concurrently; it is read with one aligned load.
        unsafe { self.pmd.read_volatile() }
    }
}

/// A cache of the PMD table that was found last under an rmap lock.
///
/// A PMD table serves all VMAs of the address space in its range. The rmap lock keeps each VMA
/// linked that was found under it, a linked VMA keeps the page tables that serve it, and its
/// `mm_struct` is kept too, so no other one can be at the same address. The table that is in the
/// cache is therefore that of each address in its range until the lock is released.
pub(in crate::mm) struct PmdTableCache(Found);

impl PmdTableCache {
    /// Creates an empty cache.
    pub(in crate::mm) const fn new() -> Self {
        Self(Found::NONE)
    }
}

/// Addresses of a VMA that is linked under an rmap lock, which is held for `'lock`.
///
/// # Invariants
///
/// - The addresses from `start` to `end`, exclusive, are in one VMA of `mm`, which is not one of
///   hugetlbfs. It is linked under this rmap lock.
/// - `cache` is empty, or was filled under the same rmap lock since it was acquired.
pub(in crate::mm) struct LinkedVma<'lock> {
    mm: *mut c::mm_struct,
    start: usize,
    end: usize,
    cache: &'lock mut PmdTableCache,
}

impl<'lock> LinkedVma<'lock> {
    /// Creates the proof for the addresses from `start` to `end`, exclusive.
    ///
    /// # Safety
    ///
    /// - The addresses must be in one VMA of `mm`, which is not one of hugetlbfs.
    /// - For all of `'lock` an rmap lock must be held under which this VMA is linked.
    /// - `cache` must be empty, or must have been filled since this lock was acquired.
    #[inline]
    pub(in crate::mm) unsafe fn new(
        mm: *mut c::mm_struct,
        start: usize,
        end: usize,
        cache: &'lock mut PmdTableCache,
    ) -> Self {
        // INVARIANT: They are the safety requirements of this function.
        Self {
            mm,
            start,
            end,
            cache,
        }
    }

    /// Returns the first address, and the one after the last.
    #[inline]
    pub(super) fn bounds(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// Returns the PMD entry of an address. If there is no PMD table, fails with a range of
    /// addresses around it for which this is so.
    ///
    /// # Safety
    ///
    /// The address must be in the [bounds](Self::bounds).
    #[inline]
    pub(super) unsafe fn pmd_entry(&mut self, addr: usize) -> Result<PmdEntry<'_, 'lock>, Span> {
        if self.cache.0.mm != self.mm || !self.cache.0.block.contains(addr) {
            self.fill(addr)?;
        }
        // INVARIANT: By the safety requirements the address is in the VMA. The table is that of
        // each address in its block, see `PmdTableCache`.
        Ok(PmdEntry {
            pmd: self.cache.0.entry(addr),
            found: &self.cache.0,
            _lock: PhantomData,
        })
    }

    #[inline(never)]
    fn fill(&mut self, addr: usize) -> Result<(), Span> {
        // SAFETY: By the type invariants these are addresses in one VMA of `mm`, not one of
        // hugetlbfs, and an rmap lock is held for `'lock` under which it is linked.
        let tables = unsafe { VmaTables::new(self.mm, Span::up_to(self.start, self.end)) };
        // INVARIANT: The cache is filled under the rmap lock.
        self.cache.0 = Found::at(tables, addr)?;
        Ok(())
    }
}

/// The number of entries of a PMD table.
const PTRS_PER_PMD: usize = 1 << (PMD_TABLE_SHIFT - c::PMD_SHIFT);

/// A page table has `1 << ENTRIES_SHIFT` entries on each level.
const ENTRIES_SHIFT: u32 = c::PMD_SHIFT - c::PAGE_SHIFT;

/// A locked page table with entries that map memory. It stays in place, and locked, for `'lock` or
/// until it is dropped.
///
/// # Invariants
///
/// - `entries` is the first entry of a page table that is in place. The entry of an address that
///   the table was locked for maps `1 << shift` bytes, or nothing.
/// - This holds as long as this value exists. Meanwhile, only its owner and the CPU change such an
///   entry.
pub(super) struct LeafTable<'lock> {
    entries: NonNull<usize>,
    shift: u32,
    /// The mask that aligns an address down to the block that an entry maps.
    mask: usize,
    /// Declared before `tables`, so that it is dropped first.
    lock: Lock,
    /// The hugetlb VMA lock, for a VMA of hugetlbfs.
    tables: Option<TablesLock<'lock>>,
}

impl<'lock> LeafTable<'lock> {
    /// Locks the page table with the entries that map the addresses of a PMD entry, as far as they
    /// are in its VMA. Returns `None` if nothing is mapped there: the PMD entry is empty, or is a
    /// swap or migration entry.
    ///
    /// Does not sleep. The thread must hold no page table lock: a second one may deadlock.
    // `always`: as a call, the result is returned through memory, and the hugetlb VMA lock, which
    // it never has, is checked for when it is dropped. That is a tenth of the cost of a sample.
    #[inline(always)]
    pub(super) fn lock(
        pmd: PmdEntry<'_, 'lock>,
        frames: &Frames,
        _rcu: &rcu::Guard,
    ) -> Option<Self> {
        loop {
            let value = pmd.read();
            match Upper::of(value.pmd) {
                Upper::Absent => return None,
                Upper::Table => {
                    // SAFETY: The PMD entry pointed to the table when it was read, under `_rcu`. In
                    // this comment, the VMA is that of `pmd`, and its lock is the one that is held
                    // for `'lock`. The table and its lock exist until `_rcu` is released, and
                    // longer if the check below finds the table in place:
                    // - `zap_pte_range()`, `retract_page_tables()` and `collapse_pte_mapped_thp()`
                    //   free a table after a grace period.
                    // - `free_pgtables()` and `exit_mmap()` are excluded by the VMA's lock, see
                    //   `Cursor` and `MappingLock`.
                    // - `collapse_huge_page()` deposits the table, which may later be freed without
                    //   a grace period. It collapses only an anonymous VMA that spans the whole PMD
                    //   range. So this is the VMA of `pmd`, and the table serves no other VMA. It
                    //   clears the PMD entry with this VMA write-locked, and with the rwsem of the
                    //   root of its `anon_vma` held for writing. All `anon_vma`s of a VMA have the
                    //   same root, and an anonymous VMA is linked under no other rmap lock. One of
                    //   the two locks has been held for reading since before the entry was read, so
                    //   the entry was not cleared since. That `collapse_huge_page()` drops the rmap
                    //   lock before it deposits the table does no harm: the entry is none from
                    //   before then until it maps the huge page.
                    let table = unsafe {
                        bindings::damon_rs_helper_pte_table_lock(pmd.found.mm, frames.table(value))
                    };
                    // INVARIANT: The helper has acquired the lock.
                    let lock = Lock(table.lock);
                    // The PMD entry stops pointing to this table only under the table's lock, or
                    // with the VMA write-locked and its rmap locks held for writing
                    // (`collapse_huge_page()`, `move_normal_pmd()`), which the VMA's lock excludes.
                    // If the entry still has the same value, the table is in place and stays there
                    // until it is unlocked.
                    if pmd.read().pmd == value.pmd {
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
                    let lock = pmd.found.lock;
                    // SAFETY: By the invariants of `PmdEntry` the table stays in place, and so does
                    // its lock.
                    unsafe { c::spin_lock(lock) };
                    // INVARIANT: The lock was acquired above.
                    let lock = Lock(lock);
                    if matches!(Upper::of(pmd.read().pmd), Upper::Huge) {
                        // INVARIANT: A PMD entry that maps memory is split, moved and zapped only
                        // under this lock.
                        return Some(Self {
                            entries: NonNull::new(pmd.found.pmds.cast())?,
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

    /// Locks the page table with the entry of an address in a VMA of hugetlbfs. Returns `None` if
    /// there is no table. Also returns the range of addresses for which this is the result, as far
    /// as they are in the VMA.
    ///
    /// Sleeps while another thread holds the hugetlb VMA lock for writing. The thread must hold no
    /// page table lock: a second one may deadlock.
    pub(super) fn lock_hugetlb(vma: HugeTlbVma<'lock>, addr: usize) -> (Option<Self>, Span) {
        let shift = vma.shift();
        let span = Span::block(addr, shift.wrapping_add(ENTRIES_SHIFT));
        let found = TablesLock::with_entry(vma, addr).and_then(|(tables, entry, spinlock)| {
            // SAFETY: The VMA lock, by the invariants of `HugeTlbVma`, and the hugetlb VMA lock,
            // which `tables` owns, are held. So the page table stays in place, and so does its
            // lock.
            unsafe { c::spin_lock(spinlock) };
            // INVARIANT: The lock was acquired above.
            let lock = Lock(spinlock);
            // INVARIANT: The two locks keep the page table in place. Its entries are changed only
            // under its lock, which is held.
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

    /// Returns the position of the entry of an address.
    ///
    /// # Safety
    ///
    /// The table must have been locked for `addr`: another entry of a PMD table may point to a PTE
    /// table.
    #[inline]
    pub(super) unsafe fn leaf(&self, addr: usize) -> Leaf<'_> {
        // INVARIANT: By the safety requirements the entry maps memory or nothing. By the type
        // invariants the table is in place and locked as long as `self` exists.
        Leaf {
            entry: self.entries.as_ptr().wrapping_add(index(addr, self.shift)),
            start: addr & self.mask,
            mask: self.mask,
            hugetlb: self.tables.is_some(),
            _table: PhantomData,
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
