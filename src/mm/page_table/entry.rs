// SPDX-License-Identifier: GPL-2.0

//! Single entries of the page table, and the folios that they map.
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

/// An entry that maps a folio.
///
/// # Invariants
///
/// - As long as this value exists, the lock of the table that the entry is in is held.
/// - The entry is present, and not special: it maps memory that has a `struct page`. `page` is that of
///   its first page, or the folio that this is part of.
/// - The mapping has a reference to its folio. An entry is cleared, and only then the reference
///   dropped, under the lock, and a folio is split only when nothing maps it. Thus the folio is
///   neither freed nor split.
pub(crate) struct Entry<'cursor> {
    word: EntryWord,
    leaf: Leaf,
    page: *mut c::page,
    notifiers: &'cursor Notifiers,
    /// The table stays locked as long as the cursor is borrowed.
    _cursor: PhantomData<&'cursor mut ()>,
}

/// Past accesses that were forgotten.
#[derive(Clone, Copy)]
pub(crate) struct Forgotten {
    /// Some through this entry, or by a secondary MMU to what it maps.
    pub(crate) entry: bool,
    /// Some to any part of its folio, by what clears the idle flag. Said only of folios that have
    /// more parts than one.
    pub(crate) folio: bool,
}

/// An entry of a leaf table.
pub(super) struct Leaf {
    pub(super) entry: *mut usize,
    /// The first address that it maps.
    pub(super) start: usize,
    /// The bits of an address but those within what it maps.
    pub(super) mask: usize,
    /// Whether the area is one of hugetlbfs.
    pub(super) hugetlb: bool,
}

impl Leaf {
    /// How much it maps.
    #[inline]
    fn size(&self) -> usize {
        self.mask.wrapping_neg()
    }
}

impl<'cursor> Entry<'cursor> {
    /// What a leaf table has for an address; `None` if it maps no folio.
    ///
    /// # Safety
    ///
    /// The leaf must be one of the page table of an address space, whose notifiers these are. Its
    /// lock must be held as long as the result lives.
    #[inline]
    pub(super) unsafe fn new(
        leaf: Leaf,
        frames: &Frames,
        notifiers: &'cursor Notifiers,
    ) -> Option<Self> {
        // SAFETY: The caller promises that the entry is valid and its lock held.
        let word = unsafe { EntryWord::read(leaf.entry) };
        let page = frames.page(&word, leaf.mask)?;
        // INVARIANT: The caller promises that the lock is held, and the entry was just looked at.
        Some(Self {
            word,
            leaf,
            page,
            notifiers,
            _cursor: PhantomData,
        })
    }

    /// The first address that this entry maps.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.leaf.start
    }

    /// The first address that the next entry maps, `None` if this is the last one.
    pub(crate) fn end(&self) -> Option<usize> {
        self.leaf.start.checked_add(self.leaf.size())
    }

    /// Whether it is one of an area of hugetlbfs.
    pub(crate) fn is_hugetlb(&self) -> bool {
        self.leaf.hugetlb
    }

    /// Isolates the folio that this entry maps, to be moved, unless it is where it should be or
    /// somebody else is at it.
    pub(crate) fn move_by(&self, list: &mut MigrationList) {
        // SAFETY: By the type invariants the folio is valid, and the mapping, which stays, has a
        // reference to it. We hold a lock of the page table, which is taken before those of lists.
        unsafe { list.add_ptr(self.folio()) };
    }

    /// Which folio this entry maps.
    #[inline]
    pub(crate) fn folio_id(&self) -> FolioId {
        FolioId::from_addr(self.folio().addr())
    }

    /// What can be asked about the folio that this entry maps.
    pub(crate) fn attributes(&self) -> FolioAttributes<'_> {
        // SAFETY: By the type invariants the folio is neither freed nor split as long as the entry
        // is borrowed.
        unsafe { FolioAttributes::new(self.folio()) }
    }

    /// Whether there was an access since [`mkold`](Self::mkold).
    #[inline]
    pub(crate) fn young(&self) -> bool {
        self.word.accessed()
            || !self.flags(self.folio()).idle()
            || self.notifiers.test_young(self.leaf.start)
    }

    /// Forgets past accesses, and tells which.
    ///
    /// Those to a folio that is neither on an LRU list (device memory, or reclaim is just looking
    /// at it) nor hugetlb's are not forgotten.
    ///
    /// The TLB is not flushed: a processor that has the translation in it does not set the bit
    /// again before that is gone. This makes a region look a bit colder than it is, and costs the
    /// process nothing.
    // Always: handing over what the entry consists of would cost as much as what is done here.
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
        // SAFETY: The folio is valid by the type invariants.
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
        // SAFETY: By the type invariants this is a `struct page`, which stays as long as it is mapped.
        unsafe { head(self.page) }
    }

    #[inline]
    fn flags(&self, folio: *mut c::folio) -> FolioFlags {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(folio) }
    }
}
