// SPDX-License-Identifier: GPL-2.0

//! Page table entries that map folios.
//!
//! C header: [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use core::marker::PhantomData;

use kernel::bindings as c;

use super::{
    super::{
        attributes::FolioAttributes, //
        folio::{
            head,
            set_idle,
            set_young_and_idle,
            FolioFlags,
            FolioId, //
        },
        migrate::MigrationList,
        notifiers::Notifiers,
    },
    frames::Frames,
    word::EntryWord, //
};

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
    word: EntryWord,
    leaf: Leaf,
    page: *mut c::page,
    notifiers: &'cursor Notifiers,
    /// The page table stays locked as long as the cursor is borrowed.
    _cursor: PhantomData<&'cursor mut ()>,
}

/// The accesses that [`Entry::mkold`] has cleared.
#[derive(Clone, Copy)]
pub(crate) struct Forgotten {
    /// Accesses through this entry, or by a secondary MMU to the memory that it maps.
    pub(crate) entry: bool,
    /// Accesses to any part of the folio by means that clear the idle flag. Reported for large
    /// folios only.
    pub(crate) folio: bool,
}

/// The position of an entry that may map memory.
pub(super) struct Leaf {
    pub(super) entry: *mut usize,
    /// The first address that it maps.
    pub(super) start: usize,
    /// The mask that aligns an address down to the block that the entry maps.
    pub(super) mask: usize,
    /// Whether the VMA is one of hugetlbfs.
    pub(super) hugetlb: bool,
}

impl Leaf {
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
    /// a VMA without `VM_PFNMAP`. The lock of its table must be held as long as the result exists.
    #[inline]
    pub(super) unsafe fn new(
        leaf: Leaf,
        frames: &Frames,
        notifiers: &'cursor Notifiers,
    ) -> Option<Self> {
        // SAFETY: By the safety requirements the entry is valid, and the lock of its table is held
        // as long as the result exists.
        let word = unsafe { EntryWord::read(leaf.entry) };
        let page = frames.page(&word, leaf.mask)?;
        // INVARIANT: By the safety requirements the lock is held as long as the result exists.
        // `Frames::page()` has found the entry present and not special.
        Some(Self {
            word,
            leaf,
            page,
            notifiers,
            _cursor: PhantomData,
        })
    }

    /// Returns the first address that this entry maps.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.leaf.start
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
        self.word.accessed()
            || !self.flags(self.folio()).idle()
            || self.notifiers.test_young(self.leaf.start)
    }

    /// Clears the record of past accesses and returns which there were: the accessed bit, those of
    /// secondary MMUs, and the idle flag.
    ///
    /// Clears nothing for a folio that is neither on an LRU list (device memory, or isolated at the
    /// moment) nor a hugetlb folio.
    ///
    /// The TLB is not flushed: a CPU that has cached the translation does not set the bit again
    /// before the TLB entry is gone. This makes a region look slightly colder than it is, and costs
    /// the process nothing.
    // `always`: passing the fields of the entry to a function would cost as much as its body.
    #[inline(always)]
    pub(crate) fn mkold(&self) -> Forgotten {
        let folio = self.folio();
        let flags = self.flags(folio);
        let old = !self.word.accessed() && flags.idle() && self.notifiers.is_none();
        if old || !(flags.lru() || self.leaf.hugetlb) {
            return Forgotten {
                entry: false,
                folio: false,
            };
        }
        self.forget(folio, flags)
    }

    #[inline(always)]
    fn forget(&self, folio: *mut c::folio, flags: FolioFlags) -> Forgotten {
        let accessed = self.word.test_and_clear_accessed();
        let accessed = self
            .notifiers
            .clear_young(self.leaf.start, self.leaf.size())
            || accessed;
        // SAFETY: The folio is valid by the type invariants. The flags are set atomically.
        unsafe {
            if accessed && !flags.young() {
                set_young_and_idle(folio);
            } else if !flags.idle() {
                set_idle(folio);
            }
        }
        Forgotten {
            entry: accessed,
            folio: !flags.idle() && flags.large(),
        }
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
