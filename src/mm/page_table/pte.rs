// SPDX-License-Identifier: GPL-2.0

//! Page table entries: their values, the pages that they map, and accesses to an entry in place.
//!
//! # Bits
//!
//! The bits that this module reads. All other bits are ignored but those of the address.
//!
//! | bit | constant     | in the kernel        | levels   | if set                               |
//! | --- | ------------ | -------------------- | -------- | ------------------------------------ |
//! | 0   | [`PRESENT`]  | `_PAGE_BIT_PRESENT`  | all      | the CPU can use the entry            |
//! | 5   | [`ACCESSED`] | `_PAGE_BIT_ACCESSED` | all      | the CPU has used the entry           |
//! | 7   | [`PSE`]      | `_PAGE_BIT_PSE`      | PMD, PUD | it maps memory, not the next table   |
//! | 8   | [`PROTNONE`] | `_PAGE_BIT_PROTNONE` | all      | with bit 0 clear: it maps memory,    |
//! |     |              |                      |          | but an access has to fault           |
//! | 9   | [`SPECIAL`]  | `_PAGE_BIT_SPECIAL`  | all      | no folio has a reference for it: a   |
//! |     |              |                      |          | zero page, or device memory          |
//!
//! # Entries
//!
//! The kinds of entries, and the result of a look-up outside of hugetlbfs. Bit 7 of a PTE belongs
//! to PAT and is ignored. In hugetlbfs, the entries of each level are looked up like a PTE.
//!
//! | bits 0, 7, 8, 9  | level | entry                         | result                         |
//! | ---------------- | ----- | ----------------------------- | ------------------------------ |
//! | 1, 0, any, any   | PUD   | PMD table                     | continues there                |
//! | 0 or bit 7 set   | PUD   | none, or device memory        | not mapped                     |
//! | 1, 0, any, any   | PMD   | PTE table                     | continues there                |
//! | 1, 1, any, 0     | PMD   | transparent huge page         | mapped                         |
//! | 0, 1, 1, 0       | PMD   | the same without permissions  | mapped                         |
//! | any, 1, any, 1   | PMD   | huge zero page, device memory | not mapped                     |
//! | 0, 1, 0, 0       | PMD   | huge page that is being split | takes the lock and looks again |
//! | 0, 0, any, any   | PMD   | none, swap or migration entry | not mapped                     |
//! | 1, any, any, 0   | PTE   | page                          | mapped                         |
//! | 0, any, 1, 0     | PTE   | page without permissions      | mapped                         |
//! | any, any, any, 1 | PTE   | zero page, device memory      | not mapped                     |
//! | 0, any, 0, any   | PTE   | none, swap or migration entry | not mapped                     |
//!
//! In entries that are present without bit 0, x86 inverts the bits of the address.
//!
//! C headers: [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h),
//! [`include/asm-generic/memory_model.h`](srctree/include/asm-generic/memory_model.h)

use core::marker::PhantomData;

use kernel::{
    bindings as c,
    page::PAGE_MASK, //
};

use super::super::{
    attributes::FolioAttributes,
    folio::{
        has_mapping,
        head,
        is_mapped_once,
        set_idle,
        set_young_and_idle,
        FolioId, //
    },
    folio_flags::FolioFlags,
    migrate::MigrationList,
    notifiers::Notifiers,
    record_id::RecordId, //
};
use crate::bindings;

/// The present bit.
pub(super) const PRESENT: usize = 1 << c::_PAGE_BIT_PRESENT;
/// Set in an entry above PTE level that maps memory.
const PSE: usize = 1 << c::_PAGE_BIT_PSE;
/// Memory is mapped, but an access has to fault: `PROT_NONE`, or a NUMA hinting fault.
pub(super) const PROTNONE: usize = 1 << c::_PAGE_BIT_PROTNONE;
/// The accessed bit. The CPU sets it when it uses the entry for a translation.
const ACCESSED: usize = 1 << c::_PAGE_BIT_ACCESSED;
/// The special bit: the entry maps a zero page, or memory without a refcounted folio.
const SPECIAL: usize = 1 << c::_PAGE_BIT_SPECIAL;

/// A page table entry, and the value that was read from it.
///
/// # Invariants
///
/// `entry` points to a page table entry. The lock of its table is held for all of `'lock`, so only
/// the CPU and the lock's owner change the entry.
pub(in crate::mm) struct EntryWord<'lock> {
    entry: *mut usize,
    value: usize,
    _lock: PhantomData<&'lock ()>,
}

impl EntryWord<'_> {
    /// Reads a page table entry.
    ///
    /// # Safety
    ///
    /// `entry` must point to a page table entry on a level that can map memory. The lock of its
    /// table must be held for the lifetime of the result.
    #[inline]
    pub(in crate::mm) unsafe fn read(entry: *mut usize) -> Self {
        // INVARIANT: By the safety requirements `entry` points to an entry, and the lock of its
        // table is held for the lifetime of the result.
        // SAFETY: By the safety requirements the pointer is valid and aligned. The CPU may set the
        // accessed and dirty bits concurrently; the entry is read with one load.
        let value = unsafe { entry.read_volatile() };
        Self {
            entry,
            value,
            _lock: PhantomData,
        }
    }

    /// Returns the identity of this entry.
    #[inline]
    pub(in crate::mm) fn id(&self) -> RecordId {
        RecordId::from_addr(self.entry.addr())
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

/// The position of the PFN in page table entries, and the array of `struct page`s.
///
/// Queried from the kernel once for many entries: a call for each of them would be a large part of
/// the cost of a look-up.
///
/// # Invariants
///
/// Unless `plain` is zero, `pages` is the start of the `struct page` array of all PFNs, and `mask`
/// selects the physical address in a present entry. x86 inverts the address bits in an entry that
/// is present (`PROTNONE`) without the present bit.
#[derive(Clone, Copy)]
pub(in crate::mm) struct Frames {
    /// The mask for the fast path: `(pteval & plain) == PRESENT` means present and not special.
    /// Zero if there is no fast path.
    plain: usize,
    mask: usize,
    pages: *mut c::page,
}

impl Frames {
    /// Queries the values for the running kernel.
    pub(in crate::mm) fn get() -> Self {
        // SAFETY: The helpers only read values that do not change after boot.
        let (mask, pages) = unsafe {
            (
                bindings::damon_rs_helper_frame_mask(),
                bindings::damon_rs_helper_first_page(),
            )
        };
        // INVARIANT: `plain` is zero unless the helper has returned a mask, which it does only if
        // there is an array of all pages.
        Self {
            plain: if mask == 0 { 0 } else { PRESENT | SPECIAL },
            mask,
            pages,
        }
    }

    /// Returns the physical address of a page, as in page table entries. `None` without a fast
    /// path.
    #[inline]
    pub(super) fn address_of(&self, page: *mut c::page) -> Option<usize> {
        let offset = page.addr().wrapping_sub(self.pages.addr());
        let number = offset / size_of::<c::page>();
        (self.plain != 0).then_some(number.wrapping_shl(c::PAGE_SHIFT))
    }

    /// Returns the physical address in a PTE that is present. In entries of other levels the lowest
    /// bits of the result are flags. Without a fast path the result is meaningless.
    #[inline]
    pub(super) fn address(&self, word: &EntryWord<'_>) -> usize {
        let inverted = word.value() & PRESENT == 0;
        (if inverted {
            !word.value()
        } else {
            word.value()
        }) & self.mask
    }

    /// Returns the physical address of the page table that a PMD entry points to.
    #[inline]
    pub(super) fn table(&self, entry: c::pmd_t) -> usize {
        if self.plain != 0 {
            return entry.pmd & self.mask;
        }
        // SAFETY: The helper only computes with the value.
        unsafe { bindings::damon_rs_helper_pte_table_address(entry) }
    }

    /// Returns the first page that an entry maps, or the folio that contains it. `None` if the
    /// entry maps no refcounted folio. `block` is the mask that aligns an address down to the block
    /// that the entry maps.
    #[inline]
    pub(super) fn page(&self, word: &EntryWord<'_>, block: usize) -> Option<*mut c::page> {
        // The most common case first, in one comparison.
        if word.value() & self.plain == PRESENT {
            let start = word.value() & self.mask & block;
            return Some(self.pages.wrapping_add(start >> c::PAGE_SHIFT));
        }
        Self::page_by_accessor(word, block)
    }

    /// The slow path of [`page`](Self::page), with the kernel's accessors.
    #[inline(never)]
    fn page_by_accessor(word: &EntryWord<'_>, block: usize) -> Option<*mut c::page> {
        if !word.maps_folio() {
            return None;
        }
        // SAFETY: The entry is present and not special, so its PFN has a `struct page`. The PFN is
        // at the same position in entries of all levels above PTE.
        let folio = unsafe {
            if block == PAGE_MASK {
                bindings::damon_rs_helper_pte_folio(c::pte_t { pte: word.value() })
            } else {
                bindings::damon_rs_helper_pmd_folio(c::pmd_t { pmd: word.value() })
            }
        };
        Some(folio.cast())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl Frames {
    /// Creates a value for tests.
    pub(super) fn example() -> Self {
        // INVARIANT: The tests look up no `struct page`.
        Self {
            plain: PRESENT | SPECIAL,
            mask: 0xf_ffff_ffff_f000,
            pages: core::ptr::null_mut(),
        }
    }

    /// Returns the mask of the physical address.
    pub(super) fn mask(&self) -> usize {
        self.mask
    }
}

// SAFETY: `Frames` holds constants. Accesses to the pages are unsafe code of their own.
unsafe impl Send for Frames {}
// SAFETY: `Frames` holds constants. Accesses to the pages are unsafe code of their own.
unsafe impl Sync for Frames {}

/// A page table entry that maps a folio.
///
/// # Invariants
///
/// - The lock of the page table that contains the entry is held as long as this value exists.
/// - The entry is present and not special, so it maps memory with a `struct page`. `page` is the
///   first page that it maps, or the folio that contains this page.
/// - The folio is neither freed nor split, because the mapping holds a reference to it. Memory
///   without a reference is mapped by special entries, in VMAs with `VM_MIXEDMAP` too: x86 has
///   `CONFIG_ARCH_HAS_PTE_SPECIAL`. VMAs with `VM_PFNMAP` are not walked. An entry is cleared under
///   the page table lock, and the reference is dropped after that. Before a split, `unmap_folio()`
///   clears the entry under the same lock, and `folio_ref_freeze()` fails if a mapping remains.
pub(crate) struct Entry<'cursor> {
    word: EntryWord<'cursor>,
    /// The page table stays locked as long as the cursor is borrowed.
    leaf: Leaf<'cursor>,
    page: *mut c::page,
    notifiers: &'cursor Notifiers,
}

/// The result of [`Entry::mkold`].
pub(crate) enum Aged {
    /// There was no access through the entry, and none by a secondary MMU to the memory that it
    /// maps.
    Unchanged,
    /// Such accesses were cleared.
    Cleared,
    /// Nothing was cleared, because the caller has not allowed it.
    Refused,
}

/// The position of an entry that may map memory.
///
/// # Invariants
///
/// `entry` points to an entry that maps memory or nothing, of a page table that is in place, and
/// whose lock is held, for all of `'table`.
pub(super) struct Leaf<'table> {
    pub(super) entry: *mut usize,
    /// The first address that it maps.
    pub(super) start: usize,
    /// The mask that aligns an address down to the block that the entry maps.
    pub(super) mask: usize,
    /// Whether the VMA is one of hugetlbfs.
    pub(super) hugetlb: bool,
    pub(super) _table: PhantomData<&'table ()>,
}

impl Leaf<'_> {
    /// Returns the size of the block that the entry maps, in bytes.
    #[inline]
    fn size(&self) -> usize {
        self.mask.wrapping_neg()
    }
}

impl<'cursor> Entry<'cursor> {
    /// Reads an entry. Returns `None` if it maps no folio.
    ///
    /// # Safety
    ///
    /// `leaf` must be an entry of a page table of the address space that `notifiers` belongs to, in
    /// a VMA without `VM_PFNMAP`.
    #[inline]
    pub(super) unsafe fn new(
        leaf: Leaf<'cursor>,
        frames: &Frames,
        notifiers: &'cursor Notifiers,
    ) -> Option<Self> {
        // SAFETY: By the invariants of `Leaf` the entry is valid, and the lock of its table is held
        // for `'cursor`. The result does not exist longer.
        let word = unsafe { EntryWord::read(leaf.entry) };
        let page = frames.page(&word, leaf.mask)?;
        // INVARIANT: By the invariants of `Leaf` the lock is held as long as the result exists.
        // `Frames::page()` has found the entry present and not special.
        Some(Self {
            word,
            leaf,
            page,
            notifiers,
        })
    }

    /// Returns the first address that this entry maps.
    pub(crate) fn start(&self) -> usize {
        self.leaf.start
    }

    /// Returns the size of what this entry maps, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.leaf.size()
    }

    /// Returns the identity of this entry.
    #[inline]
    pub(crate) fn id(&self) -> RecordId {
        self.word.id()
    }

    /// Returns the address after those that this entry maps, `None` if they end at the last
    /// address.
    pub(crate) fn end(&self) -> Option<usize> {
        self.leaf.start.checked_add(self.leaf.size())
    }

    /// Returns whether the VMA is one of hugetlbfs.
    pub(crate) fn is_hugetlb(&self) -> bool {
        self.leaf.hugetlb
    }

    /// Isolates the folio that this entry maps and adds it to a migration list. Does nothing if the
    /// folio is on the target node, or if it cannot be isolated.
    pub(crate) fn move_by(&self, list: &mut MigrationList) {
        // SAFETY: By the type invariants the folio is valid, and the mapping holds a reference that
        // is not dropped while the page table is locked. No LRU lock is held; `lru_lock` nests
        // inside of page table locks (mm/rmap.c).
        unsafe { list.add_ptr(self.folio()) };
    }

    /// Returns the identity of the folio that this entry maps.
    #[inline]
    pub(crate) fn folio_id(&self) -> FolioId {
        FolioId::from_addr(self.folio().addr())
    }

    /// Returns the attributes of the folio that this entry maps.
    pub(crate) fn attributes(&self) -> FolioAttributes<'_> {
        // SAFETY: By the type invariants the folio is neither freed nor split as long as `self`
        // exists, and the result borrows `self`.
        unsafe { FolioAttributes::new(self.folio()) }
    }

    /// Returns whether there was an access since [`mkold`](Self::mkold).
    #[inline]
    pub(crate) fn young(&self) -> bool {
        let folio = self.folio();
        self.word.accessed()
            || (!self.flags(folio).idle() && self.has_flags(folio))
            || self.notifiers.test_young(self.leaf.start)
    }

    /// Clears the record of past accesses: the accessed bit, those of secondary MMUs, and the idle
    /// flag.
    ///
    /// Asks `hide` before it clears accesses in a place that other entries share or at which other
    /// address spaces look: the idle flag of a large folio or of one that is mapped more than once,
    /// and an entry of a PMD table that VMAs of hugetlbfs share. If it returns `false`, nothing is
    /// cleared.
    ///
    /// Memory of a driver that is not user memory, such as the ring of a packet socket, has no idle
    /// flag. For it the accessed bit is all that there is.
    ///
    /// The TLB is not flushed: a CPU that has cached the translation does not set the bit again
    /// before the TLB entry is gone. This makes a region look slightly colder than it is, and costs
    /// the process nothing.
    // `always`: passing the fields of the entry to a function would cost as much as its body.
    #[inline(always)]
    pub(crate) fn mkold(&self, hide: impl FnMut(RecordId) -> bool) -> Aged {
        let folio = self.folio();
        let flags = self.flags(folio);
        if !self.word.accessed() && flags.idle() && self.notifiers.is_none() {
            return Aged::Unchanged;
        }
        self.clear_young(folio, flags, hide)
    }

    #[inline(always)]
    fn clear_young(
        &self,
        folio: *mut c::folio,
        flags: FolioFlags,
        mut hide: impl FnMut(RecordId) -> bool,
    ) -> Aged {
        let has_flags = self.has_flags(folio);
        let not_idle = !flags.idle() && has_flags;
        // SAFETY: By the type invariants the folio is valid, and this entry maps it.
        let elsewhere = || flags.large() || !unsafe { is_mapped_once(folio) };
        if not_idle && elsewhere() && !hide(self.folio_id().into()) {
            return Aged::Refused;
        }
        if self.is_in_shared_table() && !hide(self.id()) {
            return Aged::Refused;
        }
        let accessed = self.word.test_and_clear_accessed();
        let accessed = self
            .notifiers
            .clear_young(self.leaf.start, self.leaf.size())
            || accessed;
        // SAFETY: The folio is valid by the type invariants. The flags are set atomically.
        unsafe {
            if accessed && !flags.young() && has_flags {
                set_young_and_idle(folio);
            } else if not_idle {
                set_idle(folio);
            }
        }
        if accessed {
            Aged::Cleared
        } else {
            Aged::Unchanged
        }
    }

    /// Returns whether the folio has the flags *young* and *idle*, as all user memory. This is
    /// memory of a file or an `anon_vma`. It need not be on an LRU list: new folios wait in a batch
    /// of their CPU before they are put on one, and those of hugetlb never are.
    #[inline]
    fn has_flags(&self, folio: *mut c::folio) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { has_mapping(folio) }
    }

    /// Returns whether the entry is in a PMD table that several VMAs of hugetlbfs share.
    #[inline]
    fn is_in_shared_table(&self) -> bool {
        self.leaf.hugetlb
            && self.leaf.size() == 1 << c::PMD_SHIFT
            // SAFETY: By the type invariants the entry is in a page table that is in place. By its
            // size this is a PMD table, which has a share count.
            && unsafe { bindings::damon_rs_helper_huge_pte_is_shared(self.leaf.entry.cast()) }
    }

    #[inline]
    fn folio(&self) -> *mut c::folio {
        // SAFETY: By the type invariants `page` is a `struct page`, which exists as long as the
        // page is mapped.
        unsafe { head(self.page) }
    }

    #[inline]
    fn flags(&self, folio: *mut c::folio) -> FolioFlags {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(folio) }
    }
}
