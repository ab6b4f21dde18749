// SPDX-License-Identifier: GPL-2.0

//! Single entries of the page table, and the folios that they map.
//!
//! The accessed bit of an entry has more than one reader: reclaim too clears it, to find out what
//! it may take. So that neither spoils the other's view, a folio has two flags. Who takes an
//! accessed bit away for other purposes than reclaim sets *young*, which reclaim counts as an
//! access. Who wants to know of accesses later sets *idle*, which reclaim clears when it takes an
//! accessed bit away, as does any access by other means than the page table, such as `read()`.
//!
//! Kernels without these flags (`CONFIG_PAGE_IDLE_FLAG`) leave the accessed bit alone to tell.
//!
//! C headers: [`include/linux/page_idle.h`](srctree/include/linux/page_idle.h),
//! [`arch/x86/include/asm/pgtable.h`](srctree/arch/x86/include/asm/pgtable.h)

use core::marker::PhantomData;

use kernel::{
    bindings as c,
    mm::MmWithUser, //
};

use super::{
    super::symbols,
    Area, //
};
use crate::bindings;

/// The processor follows the entry.
pub(super) const PRESENT: usize = 1 << c::_PAGE_BIT_PRESENT;
/// The entry of an upper level maps memory.
pub(super) const PSE: usize = 1 << c::_PAGE_BIT_PSE;
/// The memory is there, but the processor must not follow the entry: `PROT_NONE`, or to notice an
/// access for NUMA balancing.
const PROTNONE: usize = 1 << c::_PAGE_BIT_PROTNONE;
/// The processor has followed the entry.
const ACCESSED: usize = 1 << c::_PAGE_BIT_ACCESSED;
/// The memory is not the process's own: a zero page, or without a folio.
const SPECIAL: usize = 1 << c::_PAGE_BIT_SPECIAL;

/// An entry that maps a folio.
///
/// # Invariants
///
/// - As long as this value exists, the lock of the table that the entry is in is held.
/// - `value` is what the entry had since; the processor may have set its accessed and dirty bits.
///   It is present, and not special: it maps memory that has a `struct page`.
/// - The mapping has a reference to its folio. An entry is cleared, and only then the reference
///   dropped, under the lock, and a folio is split only when nothing maps it. Thus the folio is
///   neither freed nor split.
pub(crate) struct Entry<'cursor> {
    leaf: Leaf,
    value: usize,
    mm: &'cursor MmWithUser,
    notifiers: &'cursor Notifiers,
    /// The table stays locked as long as the cursor is borrowed.
    _cursor: PhantomData<&'cursor mut ()>,
}

/// Which folio it is. Means nothing as soon as the lock of the table is released, but remains
/// comparable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolioId(usize);

impl FolioId {
    #[inline]
    pub(crate) const fn from_addr(addr: usize) -> Self {
        Self(addr)
    }
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
    entry: *mut usize,
    /// The first address that it maps.
    start: usize,
    shift: u32,
}

impl Leaf {
    /// The entry of an address in a table of PTE entries.
    #[inline]
    pub(super) fn pte(ptes: *mut c::pte_t, addr: usize) -> Self {
        let index = (addr >> c::PAGE_SHIFT) & (PTRS_PER_PTE - 1);
        Self {
            entry: ptes.wrapping_add(index).cast(),
            start: addr & !((1 << c::PAGE_SHIFT) - 1),
            shift: c::PAGE_SHIFT,
        }
    }

    /// A PMD entry that maps memory itself.
    #[inline]
    pub(super) fn pmd(pmd: *mut c::pmd_t, addr: usize) -> Self {
        Self {
            entry: pmd.cast(),
            start: addr & !((1 << c::PMD_SHIFT) - 1),
            shift: c::PMD_SHIFT,
        }
    }
}

/// Entries in a table of PTE entries.
const PTRS_PER_PTE: usize = 1 << (c::PMD_SHIFT - c::PAGE_SHIFT);

impl<'cursor> Entry<'cursor> {
    /// What a leaf table has for an address; `None` if it maps no folio.
    ///
    /// # Safety
    ///
    /// The leaf must be one of `mm`'s page table. Its lock must be held as long as the result
    /// lives.
    #[inline]
    pub(super) unsafe fn new(
        leaf: Leaf,
        mm: &'cursor MmWithUser,
        notifiers: &'cursor Notifiers,
    ) -> Option<Self> {
        // SAFETY: The caller promises that the entry is valid. The processor may set its accessed
        // and dirty bits.
        let value = unsafe { leaf.entry.read_volatile() };
        if value & (PRESENT | PROTNONE) == 0 || value & SPECIAL != 0 {
            return None;
        }
        // INVARIANT: The caller promises that the lock is held, and the value has just been looked
        // at.
        Some(Self {
            leaf,
            value,
            mm,
            notifiers,
            _cursor: PhantomData,
        })
    }

    /// The first address that this entry maps.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.leaf.start
    }

    /// Which folio this entry maps.
    #[inline]
    pub(crate) fn folio_id(&self) -> FolioId {
        FolioId::from_addr(self.folio().addr())
    }

    /// Whether there was an access since [`mkold`](Self::mkold).
    #[inline]
    pub(crate) fn young(&self) -> bool {
        self.accessed()
            || !self.flags(self.folio()).idle()
            || self.notifiers.test_young(self.mm, self.leaf.start)
    }

    /// Forgets past accesses, and tells which.
    ///
    /// Those to a folio that is not on an LRU list (device memory, or reclaim is just looking at
    /// it) are not forgotten.
    ///
    /// The TLB is not flushed: a processor that has the translation in it does not set the bit
    /// again before that is gone. This makes a region look a bit colder than it is, and costs the
    /// process nothing.
    #[inline]
    pub(crate) fn mkold(&self) -> Forgotten {
        let folio = self.folio();
        let flags = self.flags(folio);
        let old = !self.accessed() && flags.idle() && self.notifiers.is_none();
        if old || !flags.lru() {
            return Forgotten {
                entry: false,
                folio: false,
            };
        }
        self.forget(folio, flags)
    }

    #[inline]
    fn forget(&self, folio: *mut c::folio, flags: FolioFlags) -> Forgotten {
        let accessed = self.accessed() && self.test_and_clear_accessed();
        let accessed = self.notifiers.clear_young(self.mm, &self.leaf) || accessed;
        if accessed && !flags.young() {
            // SAFETY: The folio is valid by the type invariants.
            unsafe { bindings::damon_rs_helper_folio_set_young(folio) };
        }
        if !flags.idle() {
            // SAFETY: The folio is valid by the type invariants.
            unsafe { bindings::damon_rs_helper_folio_set_idle(folio) };
        }
        Forgotten {
            entry: accessed,
            folio: !flags.idle() && flags.large(),
        }
    }

    /// The entry's accessed bit.
    #[inline]
    fn accessed(&self) -> bool {
        self.value & ACCESSED != 0
    }

    /// Takes the entry's accessed bit away.
    #[inline]
    fn test_and_clear_accessed(&self) -> bool {
        // SAFETY: By the type invariants the entry is valid. The operation is atomic, as setting
        // the bit is in the processor.
        unsafe { bindings::damon_rs_helper_test_and_clear_young(self.leaf.entry) }
    }

    #[inline]
    fn folio(&self) -> *mut c::folio {
        // SAFETY: By the type invariants, the value maps a page that has a `struct page`. Where the
        // number of the page is in the value is left to the kernel: it is inverted in entries that
        // the processor does not follow, and another one in guests of Xen.
        unsafe {
            if self.leaf.shift == c::PAGE_SHIFT {
                bindings::damon_rs_helper_pte_folio(c::pte_t { pte: self.value })
            } else {
                bindings::damon_rs_helper_pmd_folio(c::pmd_t { pmd: self.value })
            }
        }
    }

    #[inline]
    fn flags(&self, folio: *mut c::folio) -> FolioFlags {
        // SAFETY: The folio is valid by the type invariants. Others may change its flags, one at a
        // time.
        FolioFlags(unsafe {
            (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.flags.f).read_volatile()
        })
    }
}

/// The flags of a folio at one moment.
#[derive(Clone, Copy)]
struct FolioFlags(usize);

impl FolioFlags {
    #[inline]
    fn lru(self) -> bool {
        self.0 & (1 << c::pageflags_PG_lru) != 0
    }

    /// Whether it has more than one page.
    #[inline]
    fn large(self) -> bool {
        self.0 & (1 << c::pageflags_PG_head) != 0
    }

    #[inline]
    fn idle(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let idle = self.0 & (1 << c::pageflags_PG_idle) != 0;
        // It says nothing where it does not exist.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let idle = true;
        idle
    }

    #[inline]
    fn young(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let young = self.0 & (1 << c::pageflags_PG_young) != 0;
        // Nobody to tell where it does not exist.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let young = true;
        young
    }
}

/// The secondary MMUs of an address space: page tables of virtual machines and devices that map the
/// same memory.
///
/// # Invariants
///
/// `Some` only for an address space that has notifiers; those it has for the rest of its life.
pub(super) struct Notifiers(#[cfg(CONFIG_MMU_NOTIFIER)] Option<&'static symbols::SecondaryMmus>);

#[cfg(CONFIG_MMU_NOTIFIER)]
impl Notifiers {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Those of an address space. The first one is added when all of its areas are locked for
    /// writing: what is found here holds as long as this one is locked.
    pub(super) fn of(mm: &MmWithUser, _area: &Area<'_>) -> Self {
        // SAFETY: The mm is valid.
        let has_notifiers = unsafe { bindings::damon_rs_helper_mm_has_notifiers(mm.as_raw()) };
        // INVARIANT: It was just seen to have some, or this is `None`.
        Self(symbols::secondary_mmus().filter(|_| has_notifiers))
    }

    #[inline]
    fn is_none(&self) -> bool {
        self.0.is_none()
    }

    #[inline]
    fn test_young(&self, mm: &MmWithUser, addr: usize) -> bool {
        match self.0 {
            None => false,
            // SAFETY: The mm is valid and has notifiers by the type invariants. They are made to be
            // called under locks of the page table.
            Some(calls) => unsafe { (calls.__mmu_notifier_test_young)(mm.as_raw(), addr) },
        }
    }

    #[inline]
    fn clear_young(&self, mm: &MmWithUser, leaf: &Leaf) -> bool {
        match self.0 {
            None => false,
            // SAFETY: As in `test_young`.
            Some(calls) => unsafe {
                (calls.__mmu_notifier_clear_young)(
                    mm.as_raw(),
                    leaf.start,
                    leaf.start.saturating_add(1 << leaf.shift),
                )
            },
        }
    }
}

#[cfg(not(CONFIG_MMU_NOTIFIER))]
impl Notifiers {
    pub(super) const fn none() -> Self {
        Self()
    }

    pub(super) fn of(_mm: &MmWithUser, _area: &Area<'_>) -> Self {
        Self()
    }

    #[inline]
    fn is_none(&self) -> bool {
        true
    }

    #[inline]
    fn test_young(&self, _mm: &MmWithUser, _addr: usize) -> bool {
        false
    }

    #[inline]
    fn clear_young(&self, _mm: &MmWithUser, _leaf: &Leaf) -> bool {
        false
    }
}
