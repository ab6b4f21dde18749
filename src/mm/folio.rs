// SPDX-License-Identifier: GPL-2.0

//! Folios: what memory is made of.
//!
//! A folio is one or more pages in a row that are allocated, mapped, reclaimed and migrated
//! together. Two of its flags are about accesses. The accessed bit of a page table entry has more
//! than one reader: reclaim too clears it, to find out what it may take. So that neither spoils the
//! other's view, who takes an accessed bit away for other purposes than reclaim sets *young*, which
//! reclaim counts as an access. And who wants to know of accesses later sets *idle*, which reclaim
//! clears when it takes an accessed bit away, as do some accesses by other means than the page
//! table: `write()`, and with the classic LRU `read()`.
//!
//! Kernels without these flags (`CONFIG_PAGE_IDLE_FLAG`) leave the accessed bit alone to tell.
//!
//! C headers: [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h),
//! [`include/linux/page_idle.h`](srctree/include/linux/page_idle.h)

use core::ptr::NonNull;

use kernel::bindings as c;

use super::attributes::{
    self,
    FolioAttributes, //
};
use super::node::Node;
use crate::bindings;

/// Whether the kernel's folios have the flags *young* and *idle*.
pub(crate) const HAS_IDLE_FLAG: bool = cfg!(CONFIG_PAGE_IDLE_FLAG);

/// Which folio it is. Means nothing as soon as nobody keeps the folio, but remains comparable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FolioId(usize);

impl FolioId {
    #[inline]
    pub(crate) const fn from_addr(addr: usize) -> Self {
        Self(addr)
    }

    pub(crate) const fn addr(self) -> usize {
        self.0
    }
}

/// The flags of a folio at one moment.
#[derive(Clone, Copy)]
pub(super) struct FolioFlags(usize);

impl FolioFlags {
    /// The flags as they are now. Others may change them, one at a time.
    ///
    /// # Safety
    ///
    /// The pointer must be to a `struct page` that exists. That it is a folio's is not needed: then
    /// the flags are those of something else.
    #[inline]
    pub(super) unsafe fn of(folio: *mut c::folio) -> Self {
        // SAFETY: The caller promises that there is memory behind the pointer. A word is read at
        // once, so a concurrent change is seen as a whole or not at all.
        Self(unsafe {
            (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.flags.f).read_volatile()
        })
    }

    /// Whether it is on one of reclaim's lists, thus user memory.
    #[inline]
    pub(super) fn lru(self) -> bool {
        self.0 & (1 << c::pageflags_PG_lru) != 0
    }

    /// Whether reclaim holds it for used more than once.
    #[inline]
    pub(super) fn active(self) -> bool {
        self.0 & (1 << c::pageflags_PG_active) != 0
    }

    /// Whether it must stay in memory.
    #[inline]
    pub(super) fn unevictable(self) -> bool {
        self.0 & (1 << c::pageflags_PG_unevictable) != 0
    }

    /// Whether it has more than one page.
    #[inline]
    pub(super) fn large(self) -> bool {
        self.0 & (1 << c::pageflags_PG_head) != 0
    }

    #[inline]
    pub(super) fn idle(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let idle = self.0 & (1 << c::pageflags_PG_idle) != 0;
        // It says nothing where it does not exist.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let idle = true;
        idle
    }

    #[inline]
    pub(super) fn young(self) -> bool {
        #[cfg(CONFIG_PAGE_IDLE_FLAG)]
        let young = self.0 & (1 << c::pageflags_PG_young) != 0;
        // Nobody to tell where it does not exist.
        #[cfg(not(CONFIG_PAGE_IDLE_FLAG))]
        let young = true;
        young
    }
}

/// Sets the flag *idle*.
///
/// # Safety
///
/// The folio must not be freed or split meanwhile.
#[inline]
pub(super) unsafe fn set_idle(folio: *mut c::folio) {
    // SAFETY: The caller promises that the folio is valid. The operation is atomic.
    unsafe { bindings::damon_rs_helper_folio_set_idle(folio) };
}

/// Sets the flag *young*.
///
/// # Safety
///
/// As for [`set_idle`].
#[inline]
pub(super) unsafe fn set_young(folio: *mut c::folio) {
    // SAFETY: As in `set_idle`.
    unsafe { bindings::damon_rs_helper_folio_set_young(folio) };
}

/// Sets both flags, of which *idle* may be set.
///
/// # Safety
///
/// As for [`set_idle`].
#[inline]
pub(super) unsafe fn set_young_and_idle(folio: *mut c::folio) {
    // SAFETY: As in `set_idle`.
    unsafe { bindings::damon_rs_helper_folio_set_young_and_idle(folio) };
}

/// A counted reference to a folio of user memory: one that was on a list of reclaim's, or of
/// hugetlb's, when it was looked up.
///
/// With the reference the folio stays what it is: not freed, thus not split, not migrated and not
/// taken offline either, all of which need to have the last reference. It may still be unmapped,
/// truncated (taken out of its file) or isolated from its list at any time.
///
/// # Invariants
///
/// The pointer is to a folio, the head of its pages, of which this value owns one reference.
pub(crate) struct Folio(NonNull<c::folio>);

impl Folio {
    /// Whether a page looks like one of user memory: then a reference to this folio is worth a try.
    /// `None` if it is free, the kernel's or a device's; and while somebody has it isolated.
    ///
    /// This is a look at the page's flags, without a change to it.
    ///
    /// # Safety
    ///
    /// There must be a struct page at this address, as long as this takes.
    #[inline(always)]
    pub(super) unsafe fn candidate(page: *mut c::page) -> Option<NonNull<c::folio>> {
        // SAFETY: The caller promises that the page is there.
        let candidate = unsafe { head(page) };
        // SAFETY: The head of a page that is there is there too.
        if unsafe { is_user_memory(candidate) } {
            NonNull::new(candidate)
        } else {
            None
        }
    }

    /// A reference to the folio that a page looks to be part of, if that is still so.
    ///
    /// # Safety
    ///
    /// There must be a struct page at this address, as long as this takes, for which
    /// [`Self::candidate`] was the answer meanwhile.
    pub(super) unsafe fn take(page: *mut c::page, candidate: NonNull<c::folio>) -> Option<Self> {
        let head_of = candidate.as_ptr();
        // SAFETY: The caller promises that it is there. If this is a folio that nobody has a
        // reference to, this does nothing; and if it is the page of something else by now, a
        // reference does no harm to it.
        if !unsafe { bindings::damon_rs_helper_folio_try_get(head_of) } {
            return None;
        }
        // INVARIANT: We have just taken the reference, and nothing without one is a tail page.
        let folio = Self(candidate);
        // Before we had the reference, the page may have been freed and become part of another
        // folio. Now it cannot any more.
        // SAFETY: The page is still there, and the reference keeps the folio.
        if unsafe { head(page) != head_of || !is_user_memory(head_of) } {
            return None;
        }
        Some(folio)
    }

    #[inline]
    pub(super) fn as_ptr(&self) -> *mut c::folio {
        self.0.as_ptr()
    }

    /// Whether it is on one of reclaim's lists.
    #[inline]
    pub(crate) fn is_on_lru(&self) -> bool {
        self.flags().lru()
    }

    /// How many bytes it has.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { attributes::size(self.as_ptr()) }
    }

    /// Whether it is on this node.
    #[inline]
    pub(crate) fn is_on(&self, node: Node) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        node == unsafe { Node::of(self.as_ptr()) }
    }

    /// Makes reclaim forget all accesses that it was told of, but not those in page tables.
    #[inline]
    pub(crate) fn forget_references(&self) {
        // SAFETY: The folio is valid by the type invariants. Both operations are atomic.
        unsafe {
            bindings::damon_rs_helper_folio_clear_referenced(self.as_ptr());
            bindings::damon_rs_helper_folio_clear_young(self.as_ptr());
        }
    }

    /// Which folio this is.
    #[inline]
    pub(crate) fn id(&self) -> FolioId {
        FolioId::from_addr(self.0.addr().get())
    }

    #[inline]
    pub(super) fn flags(&self) -> FolioFlags {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(self.as_ptr()) }
    }

    /// Whether it is one of hugetlb's.
    #[inline]
    pub(super) fn is_hugetlb(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        let is_hugetlb = || unsafe { bindings::damon_rs_helper_folio_test_hugetlb(self.as_ptr()) };
        self.flags().large() && is_hugetlb()
    }

    /// Whether it is in any page table, and belongs to a file or to a process.
    #[inline]
    pub(super) fn is_mapped(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants. The answer may be out of date as soon
        // as it is given.
        unsafe { bindings::damon_rs_helper_folio_is_mapped(self.as_ptr()) }
    }

    /// What can be asked about it.
    pub(crate) fn attributes(&self) -> FolioAttributes<'_> {
        // SAFETY: By the type invariants the folio is valid, and it is neither freed nor split as long
        // as this reference to it is borrowed.
        unsafe { FolioAttributes::new(self.as_ptr()) }
    }

    /// Locks the folio, unless somebody else has.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<LockedFolio<'_>> {
        // SAFETY: The folio is valid by the type invariants.
        let locked = unsafe { bindings::damon_rs_helper_folio_trylock(self.as_ptr()) };
        // INVARIANT: We have just taken the lock.
        locked.then(|| LockedFolio(self))
    }
}

impl Drop for Folio {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a reference, and this value is gone afterwards.
        unsafe { bindings::damon_rs_helper_folio_put(self.as_ptr()) };
    }
}

/// A folio with its lock held. It stays in its file or anonymous mapping, that stays in existence,
/// and reclaim does not look at it.
///
/// # Invariants
///
/// This value owns the lock of the folio.
pub(super) struct LockedFolio<'a>(&'a Folio);

impl LockedFolio<'_> {
    #[inline]
    pub(super) fn folio(&self) -> &Folio {
        self.0
    }

    /// What it belongs to: a pointer with flags in its lowest bits. The flags do not change, and the
    /// pointer, where it is to an anonymous mapping, neither.
    #[inline]
    pub(super) fn mapping(&self) -> usize {
        let folio = self.0.as_ptr();
        // SAFETY: The folio is valid by the type invariants. A word is read at once.
        unsafe { (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping).read_volatile() }
            .addr()
    }
}

impl Drop for LockedFolio<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the lock, and this value is gone afterwards.
        unsafe { c::folio_unlock(self.0.as_ptr()) };
    }
}

/// The first page of what a page is part of.
///
/// # Safety
///
/// There must be a struct page at this address.
#[inline]
pub(super) unsafe fn head(page: *mut c::page) -> *mut c::folio {
    // SAFETY: The caller promises that there is a struct page. A word of it is read at once.
    let info = unsafe {
        (&raw const (*page).__bindgen_anon_1.__bindgen_anon_3.compound_info).read_volatile()
    };
    // Most pages are part of nothing, and a call would be most of what asking them costs.
    if info & TAIL == 0 {
        return page.cast();
    }
    // SAFETY: As above.
    unsafe { bindings::damon_rs_helper_page_folio(page) }
}

/// What `compound_info` has set in all pages of a folio but the first.
const TAIL: usize = 1;

/// Whether this looks like a folio of user memory.
///
/// # Safety
///
/// There must be a struct page at this address.
#[inline]
unsafe fn is_user_memory(folio: *mut c::folio) -> bool {
    // SAFETY: The caller promises that there is a struct page.
    let flags = unsafe { FolioFlags::of(folio) };
    // SAFETY: As above: this looks at its type.
    flags.lru() || (flags.large() && unsafe { bindings::damon_rs_helper_folio_test_hugetlb(folio) })
}
