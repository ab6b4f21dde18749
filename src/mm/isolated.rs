// SPDX-License-Identifier: GPL-2.0

//! Isolated folios, that is, folios that were taken off their LRU lists.
//!
//! Isolation acquires a reference to the folio and gives the caller its `lru` list links, until the
//! folio is put back. [`Isolated`] stands for one such folio, [`IsolatedFolios`] for many. Dropping
//! them puts the folios back.
//!
//! C headers: [`mm/internal.h`](srctree/mm/internal.h),
//! [`include/linux/mm_inline.h`](srctree/include/linux/mm_inline.h)

use core::{
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};

use kernel::bindings as c;

use super::{
    folio::Folio,
    folio_flags::FolioFlags,
    symbols::{
        self,
        Isolation, //
    }, //
};
use crate::bindings;

/// An isolated folio.
///
/// # Invariants
///
/// `folio` is isolated. This value owns the reference of the isolation and the exclusive right to
/// use the `lru` links.
pub(super) struct Isolated {
    calls: &'static Isolation,
    folio: NonNull<c::folio>,
}

impl Isolated {
    /// Isolates a folio. Returns `None` if the folio is on no LRU list, for example because it is
    /// isolated already. Does not sleep.
    ///
    /// # Safety
    ///
    /// The folio must be valid, and a reference to it must be held during the call. The caller must
    /// hold no LRU lock.
    pub(super) unsafe fn new(calls: &'static Isolation, folio: *mut c::folio) -> Option<Self> {
        let folio = NonNull::new(folio)?;
        // SAFETY: By the safety requirements of this function the folio is valid and referenced,
        // and no LRU lock is held.
        let isolated = unsafe { calls.folio_isolate_lru(folio.as_ptr()) };
        // INVARIANT: The folio was isolated with a reference. The closure runs only then, so no
        // value is dropped, and no folio put back, otherwise.
        isolated.then(|| Self { calls, folio })
    }

    /// Returns whether the folio is unevictable.
    pub(super) fn is_unevictable(&self) -> bool {
        // SAFETY: The folio is valid by the type invariants.
        unsafe { FolioFlags::of(self.folio.as_ptr()) }.unevictable()
    }

    pub(super) fn as_ptr(&self) -> *mut c::folio {
        self.folio.as_ptr()
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the folio is isolated, and this value owns the reference
        // that the function drops. It does not use the folio after this call.
        unsafe { self.calls.folio_putback_lru(self.folio.as_ptr()) };
    }
}

/// A chain of isolated folios.
///
/// They are chained through their `lru` links, so that adding one allocates nothing and cannot
/// fail.
///
/// # Invariants
///
/// `first` is null or the first folio of a chain. `damon_rs_helper_folio_next()` returns the next
/// folio of a folio in the chain, null for the last. Each folio meets the invariants of
/// [`Isolated`], with this value as the owner.
pub(super) struct IsolatedFolios {
    calls: &'static Isolation,
    first: *mut c::folio,
    /// The number of folios in the chain.
    len: usize,
}

impl IsolatedFolios {
    /// Creates an empty chain. Returns `None` if the kernel functions for isolation were not found.
    pub(super) fn new() -> Option<Self> {
        // INVARIANT: The chain is empty.
        Some(Self {
            calls: symbols::isolation()?,
            first: core::ptr::null_mut(),
            len: 0,
        })
    }

    /// Isolates a folio without adding it. Returns `None` if that is not possible.
    pub(super) fn isolate(&self, folio: &Folio) -> Option<Isolated> {
        // SAFETY: By its invariants `folio` is valid and owns a reference. No LRU lock is held: mm/
        // never holds one outside of a call into the kernel.
        unsafe { Isolated::new(self.calls, folio.as_ptr()) }
    }

    /// Like [`Self::isolate`], for a folio that is kept by other means than a [`Folio`].
    ///
    /// # Safety
    ///
    /// The safety requirements of [`Isolated::new`] must be met.
    pub(super) unsafe fn isolate_ptr(&self, folio: *mut c::folio) -> Option<Isolated> {
        // SAFETY: By the safety requirements of this function, which are those of
        // `Isolated::new()`, the folio is valid and referenced, and no LRU lock is held.
        unsafe { Isolated::new(self.calls, folio) }
    }

    /// Returns the number of folios.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a folio.
    pub(super) fn push(&mut self, isolated: Isolated) {
        let folio = ManuallyDrop::new(isolated).folio.as_ptr();
        // INVARIANT: The folio meets the invariants of `Isolated`. The chain now owns it, and it
        // leads to the former first folio.
        // SAFETY: By the invariants of `Isolated` the folio is valid and its links may be used.
        unsafe { bindings::damon_rs_helper_folio_set_next(folio, self.first) };
        self.first = folio;
        self.len = self.len.saturating_add(1);
    }

    /// Removes the folio that was added last.
    pub(super) fn pop(&mut self) -> Option<Isolated> {
        let folio = NonNull::new(self.first)?;
        // INVARIANT: The next folio is the first of the rest of the chain.
        // SAFETY: By the type invariants `folio` is part of the chain.
        self.first = unsafe { bindings::damon_rs_helper_folio_next(folio.as_ptr()) };
        self.len = self.len.saturating_sub(1);
        // INVARIANT: The folio met the invariants as part of the chain. It was removed, so the
        // returned value owns it.
        Some(Isolated {
            calls: self.calls,
            folio,
        })
    }

    /// Passes all folios to a kernel function as a list, the last added folio first. Folios that
    /// the function leaves on the list remain in the chain.
    ///
    /// # Safety
    ///
    /// - `call` must take over the isolation reference of each folio that it removes from the list.
    /// - When `call` returns, each entry of the list must be an isolated folio, linked by its `lru`
    ///   links, with an isolation reference that the list owns.
    /// - The list must not be used after `call` has returned.
    pub(super) unsafe fn as_list(&mut self, call: impl FnOnce(*mut c::list_head)) {
        let mut list = MaybeUninit::uninit();
        let list: *mut c::list_head = list.as_mut_ptr();
        // SAFETY: `list` points to memory for a `list_head`, which this call initializes.
        unsafe { c::INIT_LIST_HEAD(list) };
        while let Some(isolated) = self.pop() {
            // SAFETY: The list was initialized. By the invariants of `Isolated` the folio's links
            // may be used, and it is on no list.
            unsafe {
                bindings::damon_rs_helper_folio_list_add_tail(
                    ManuallyDrop::new(isolated).as_ptr(),
                    list,
                );
            }
        }
        call(list);
        loop {
            // SAFETY: The list was initialized. By the safety requirements each of its entries is a
            // folio that is linked by its `lru` links.
            let first = unsafe { bindings::damon_rs_helper_folio_list_first(list) };
            let Some(folio) = NonNull::new(first) else {
                break;
            };
            // SAFETY: `folio` is the first folio of the list.
            unsafe { bindings::damon_rs_helper_folio_list_del(folio.as_ptr()) };
            // INVARIANT: By the safety requirements the folio is isolated and comes with its
            // reference. It was just removed from the list.
            self.push(Isolated {
                calls: self.calls,
                folio,
            });
        }
    }
}

impl Drop for IsolatedFolios {
    fn drop(&mut self) {
        // Dropping an `Isolated` puts the folio back.
        while self.pop().is_some() {}
    }
}
