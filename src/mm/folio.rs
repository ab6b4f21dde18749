// SPDX-License-Identifier: GPL-2.0

//! Folios of user memory, and their *young* and *idle* flags.
//!
//! A folio is one or more contiguous pages that are allocated, mapped, reclaimed and migrated
//! together. The accessed bit of a page table entry has two kinds of readers that clear it:
//! reclaim, to select the folios to reclaim, and access monitoring. Two flags keep them from
//! disturbing each other:
//!
//! - *young*: set by monitoring when it clears an accessed bit. Reclaim counts it as an access.
//! - *idle*: set by monitoring. Reclaim clears it when it clears an accessed bit. Some accesses
//!   that do not go through a page table clear it too: `write()`, and with the classic LRU
//!   `read()`.
//!
//! Without `CONFIG_PAGE_IDLE_FLAG` these flags do not exist, and only the accessed bits show
//! accesses.
//!
//! C headers: [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h),
//! [`include/linux/page_idle.h`](srctree/include/linux/page_idle.h)

use core::ptr::NonNull;

use kernel::bindings as c;

use super::node::Node;
use super::{
    attributes::FolioAttributes,
    folio_flags::{
        size,
        FolioFlags, //
    },
    record_id::RecordId, //
};
use crate::bindings;

/// Whether folios have the *young* and *idle* flags.
pub(crate) const HAS_IDLE_FLAG: bool = cfg!(CONFIG_PAGE_IDLE_FLAG);

/// The identity of a folio, for comparison only: the folio may have been freed.
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

impl From<FolioId> for RecordId {
    #[inline]
    fn from(folio: FolioId) -> Self {
        Self::from_addr(folio.addr())
    }
}

/// Returns whether a folio belongs to a file or an `anon_vma`. The result may be outdated at once.
///
/// # Safety
///
/// The folio must be valid, and must be neither freed nor split during the call.
#[inline]
pub(super) unsafe fn has_mapping(folio: *mut c::folio) -> bool {
    // SAFETY: By the safety requirements the folio is valid. The pointer is read with one aligned
    // load, and is not dereferenced.
    let mapping =
        unsafe { (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping).read_volatile() };
    !mapping.is_null()
}

/// Returns whether a page that is mapped is mapped only once.
///
/// `_mapcount` is incremented before a mapping is established, and decremented after it was
/// removed. As long as a mapping is known to stay, because its page table lock is held, a single
/// count is that of this mapping.
///
/// # Safety
///
/// `folio` must be a folio of one page that is mapped, and must be neither freed nor split during
/// the call.
#[inline]
pub(super) unsafe fn is_mapped_once(folio: *mut c::folio) -> bool {
    // SAFETY: By the safety requirements the folio is valid. `_mapcount` may change concurrently;
    // it is read with one aligned load.
    let others = unsafe {
        (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1._mapcount.counter).read_volatile()
    };
    // `_mapcount` is -1 for a page that is not mapped.
    others == 0
}

/// Sets the *idle* flag.
///
/// # Safety
///
/// The folio must be valid, and must be neither freed nor split during the call.
#[inline]
pub(super) unsafe fn set_idle(folio: *mut c::folio) {
    // SAFETY: By the safety requirements the folio is valid. The flag is set atomically.
    unsafe { bindings::damon_rs_helper_folio_set_idle(folio) };
}

/// Sets the *young* flag.
///
/// # Safety
///
/// The folio must be valid, and must be neither freed nor split during the call.
#[inline]
pub(super) unsafe fn set_young(folio: *mut c::folio) {
    // SAFETY: By the safety requirements the folio is valid. The flag is set atomically.
    unsafe { bindings::damon_rs_helper_folio_set_young(folio) };
}

/// Sets the *young* and *idle* flags. *idle* may be set already.
///
/// # Safety
///
/// The folio must be valid, and must be neither freed nor split during the call.
#[inline]
pub(super) unsafe fn set_young_and_idle(folio: *mut c::folio) {
    // SAFETY: By the safety requirements the folio is valid. The flags are set atomically.
    unsafe { bindings::damon_rs_helper_folio_set_young_and_idle(folio) };
}

/// A reference to a folio of user memory, that is, to one that was on an LRU list or a hugetlb
/// folio when it was looked up.
///
/// While the reference is held, the folio is not freed, split, migrated or taken offline: each of
/// these requires that there are no other references. The folio may be unmapped, truncated or
/// isolated at any time.
///
/// # Invariants
///
/// The pointer is to a folio, and this value owns one reference to it.
pub(crate) struct Folio(NonNull<c::folio>);

impl Folio {
    /// Returns the folio that a page appears to be part of, if it appears to be user memory. `None`
    /// if it is free, the kernel's or a device's, and while it is isolated.
    ///
    /// Only reads flags.
    ///
    /// # Safety
    ///
    /// `page` must be a `struct page` of memory that was online in an RCU read-side critical
    /// section. That section must last at least until this function returns, and must keep the
    /// `struct page`s of such memory.
    #[inline(always)]
    pub(super) unsafe fn candidate(page: *mut c::page) -> Option<NonNull<c::folio>> {
        // SAFETY: By the safety requirements the `struct page` exists.
        let candidate = unsafe { head(page) };
        // SAFETY: `candidate` is `page`, or was the head of its compound page when that was read.
        // Memory of a compound page does not go offline, so the head was online in the same RCU
        // read-side critical section, and its `struct page` exists too.
        if unsafe { is_user_memory(candidate) } {
            NonNull::new(candidate)
        } else {
            None
        }
    }

    /// Acquires a reference to the folio that a page appears to be part of. Returns `None` if the
    /// page is not part of it any more, or if it is not user memory any more.
    ///
    /// # Safety
    ///
    /// - `page` must meet the safety requirements of [`Self::candidate`].
    /// - `candidate` must be the result of [`Self::candidate`] for `page` in the same RCU read-side
    ///   critical section.
    pub(super) unsafe fn take(page: *mut c::page, candidate: NonNull<c::folio>) -> Option<Self> {
        let head_of = candidate.as_ptr();
        // SAFETY: By the safety requirements the `struct page` exists. The function acquires a
        // reference only if there is another. If the memory has been reused for something else, a
        // temporary reference is harmless: GUP-fast and look-ups in the page cache acquire such
        // references too.
        if !unsafe { bindings::damon_rs_helper_folio_try_get(head_of) } {
            return None;
        }
        // INVARIANT: The reference was acquired above. `candidate` is not a tail page, because the
        // reference count of a tail page is zero.
        let folio = Self(candidate);
        // The page may have been freed and have become part of another folio before the reference
        // was acquired, so check again. The reference excludes that from now on.
        // SAFETY: By the safety requirements the `struct page`s exist.
        if unsafe { head(page) != head_of || !is_user_memory(head_of) } {
            return None;
        }
        Some(folio)
    }

    #[inline]
    pub(super) fn as_ptr(&self) -> *mut c::folio {
        self.0.as_ptr()
    }

    /// Returns whether the folio is on an LRU list.
    #[inline]
    pub(crate) fn is_on_lru(&self) -> bool {
        self.flags().lru()
    }

    /// Returns the size of the folio in bytes.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { size(self.as_ptr()) }
    }

    /// Returns whether the folio is on a node.
    #[inline]
    pub(crate) fn is_on(&self, node: Node) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        node == unsafe { Node::of(self.as_ptr()) }
    }

    /// Clears the *referenced* and *young* flags, which are the accesses that are recorded for
    /// reclaim outside of page tables.
    #[inline]
    pub(crate) fn forget_references(&self) {
        // SAFETY: The folio is valid by the type invariants. Each flag is cleared atomically.
        unsafe {
            bindings::damon_rs_helper_folio_clear_referenced(self.as_ptr());
            bindings::damon_rs_helper_folio_clear_young(self.as_ptr());
        }
    }

    /// Returns the identity of the folio.
    #[inline]
    pub(crate) fn id(&self) -> FolioId {
        FolioId::from_addr(self.0.addr().get())
    }

    #[inline]
    pub(super) fn flags(&self) -> FolioFlags {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(self.as_ptr()) }
    }

    /// Returns whether this is a hugetlb folio.
    #[inline]
    pub(super) fn is_hugetlb(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        let is_hugetlb = || unsafe { bindings::damon_rs_helper_folio_test_hugetlb(self.as_ptr()) };
        self.flags().large() && is_hugetlb()
    }

    /// Returns whether the folio is mapped into a page table and belongs to a file or an
    /// `anon_vma`. The result may be outdated at once.
    #[inline]
    pub(super) fn is_mapped(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_folio_is_mapped(self.as_ptr()) }
    }

    /// Returns the attributes of the folio.
    pub(crate) fn attributes(&self) -> FolioAttributes<'_> {
        // SAFETY: By the type invariants the folio is neither freed nor split as long as `self`
        // exists, and the result borrows `self`.
        unsafe { FolioAttributes::new(self.as_ptr()) }
    }

    /// Locks the folio. Returns `None` if another thread holds the lock. Does not sleep.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<LockedFolio<'_>> {
        // SAFETY: The folio is valid by the type invariants.
        let locked = unsafe { bindings::damon_rs_helper_folio_trylock(self.as_ptr()) };
        // INVARIANT: The lock was acquired above.
        locked.then(|| LockedFolio(self))
    }
}

impl Drop for Folio {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns a reference. It does not use the folio
        // after this call.
        unsafe { bindings::damon_rs_helper_folio_put(self.as_ptr()) };
    }
}

/// A locked folio. `folio->mapping` does not change, the mapping exists, and reclaim does not
/// process the folio.
///
/// # Invariants
///
/// This value owns the folio lock.
pub(super) struct LockedFolio<'a>(&'a Folio);

impl LockedFolio<'_> {
    #[inline]
    pub(super) fn folio(&self) -> &Folio {
        self.0
    }

    /// Returns `folio->mapping`: a pointer with flags in its lowest bits. It does not change while
    /// the folio is locked.
    #[inline]
    pub(super) fn mapping(&self) -> usize {
        let folio = self.0.as_ptr();
        // SAFETY: The folio is valid by the type invariants. The pointer is read with one aligned
        // load.
        unsafe { (&raw const (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping).read_volatile() }
            .addr()
    }
}

impl Drop for LockedFolio<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the folio lock. It does not use the folio
        // after this call.
        unsafe { c::folio_unlock(self.0.as_ptr()) };
    }
}

/// Returns the head page of the compound page that contains a page, or the page itself.
///
/// # Safety
///
/// `page` must point to a `struct page` that exists.
#[inline]
pub(super) unsafe fn head(page: *mut c::page) -> *mut c::folio {
    // SAFETY: By the safety requirements the pointer is valid. The word is read with one aligned
    // load.
    let info = unsafe {
        (&raw const (*page).__bindgen_anon_1.__bindgen_anon_3.compound_info).read_volatile()
    };
    // Most pages are not part of a compound page, and a call would be most of the cost.
    if info & TAIL == 0 {
        return page.cast();
    }
    // SAFETY: By the safety requirements the `struct page` exists.
    unsafe { bindings::damon_rs_helper_page_folio(page) }
}

/// The bit of `compound_info` that is set in each tail page.
const TAIL: usize = 1;

/// Returns whether a page appears to be a folio of user memory.
///
/// # Safety
///
/// `folio` must point to a `struct page` that exists.
#[inline]
unsafe fn is_user_memory(folio: *mut c::folio) -> bool {
    // SAFETY: By the safety requirements the `struct page` exists.
    let flags = unsafe { FolioFlags::of(folio) };
    // SAFETY: By the safety requirements the `struct page` exists. The helper only reads its page
    // type.
    flags.lru() || (flags.large() && unsafe { bindings::damon_rs_helper_folio_test_hugetlb(folio) })
}
