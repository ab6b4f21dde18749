// SPDX-License-Identifier: GPL-2.0

//! Folios that are taken off reclaim's lists, to be worked on.
//!
//! Who takes a folio off its list (*isolates* it) has a reference to it, and its list links to use,
//! until it puts the folio back. Here a value stands for that: [`Isolated`] for one folio,
//! [`IsolatedFolios`] for many. Dropping it puts them back.
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
    folio::{
        Folio,
        FolioFlags, //
    },
    symbols::{
        self,
        Isolation, //
    }, //
};
use crate::bindings;

/// A folio that is isolated.
///
/// # Invariants
///
/// The pointer is to a folio that was taken off its list. This value owns the reference that comes
/// with it, and nobody else uses the links of the list.
pub(super) struct Isolated {
    calls: &'static Isolation,
    folio: NonNull<c::folio>,
}

impl Isolated {
    /// Isolates a folio. `None` if it is on no list, or somebody else does so.
    ///
    /// # Safety
    ///
    /// The folio must be valid, with a reference to it that is not dropped meanwhile. No lock of a
    /// list may be held.
    pub(super) unsafe fn new(calls: &'static Isolation, folio: *mut c::folio) -> Option<Self> {
        let folio = NonNull::new(folio)?;
        // SAFETY: The caller promises that the folio is referenced and no such lock is held.
        // Does not sleep.
        let isolated = unsafe { calls.folio_isolate_lru(folio.as_ptr()) };
        // INVARIANT: The function has taken it off its list, and a reference for that. Only then is
        // there a value: dropping one puts the folio back.
        isolated.then(|| Self { calls, folio })
    }

    /// Whether it must stay in memory.
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
        // SAFETY: By the type invariants the folio is isolated, and we own the reference that the
        // function drops.
        unsafe { self.calls.folio_putback_lru(self.folio.as_ptr()) };
    }
}

/// Isolated folios.
///
/// They are chained by the links of their lists, so that none is too many and nothing is allocated.
///
/// # Invariants
///
/// `first` is null or the first of a chain of folios; what `damon_rs_helper_folio_next` returns for
/// one is the next, null for the last. All of them are as [`Isolated`] wants them, and owned by
/// this value.
pub(super) struct IsolatedFolios {
    calls: &'static Isolation,
    first: *mut c::folio,
    /// How many there are.
    len: usize,
}

impl IsolatedFolios {
    /// None yet. `None` if this kernel does not let us isolate any.
    pub(super) fn new() -> Option<Self> {
        // INVARIANT: The chain is empty.
        Some(Self {
            calls: symbols::isolation()?,
            first: core::ptr::null_mut(),
            len: 0,
        })
    }

    /// Isolates a folio, if that can be, without adding it.
    pub(super) fn isolate(&self, folio: &Folio) -> Option<Isolated> {
        // SAFETY: By its invariants the folio is valid, and has a reference of its own. We hold no
        // lock of a list.
        unsafe { Isolated::new(self.calls, folio.as_ptr()) }
    }

    /// As [`Self::isolate`], for a folio that something else than a [`Folio`] keeps.
    ///
    /// # Safety
    ///
    /// As for [`Isolated::new`].
    pub(super) unsafe fn isolate_ptr(&self, folio: *mut c::folio) -> Option<Isolated> {
        // SAFETY: The caller promises what this function wants.
        unsafe { Isolated::new(self.calls, folio) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one.
    pub(super) fn push(&mut self, isolated: Isolated) {
        let folio = ManuallyDrop::new(isolated).folio.as_ptr();
        // INVARIANT: It is owned by us from here on, and leads to what was the first.
        // SAFETY: By its invariants the links of its list are ours to use.
        unsafe { bindings::damon_rs_helper_folio_set_next(folio, self.first) };
        self.first = folio;
        self.len = self.len.saturating_add(1);
    }

    /// Takes out the one that was added last.
    pub(super) fn pop(&mut self) -> Option<Isolated> {
        let folio = NonNull::new(self.first)?;
        // INVARIANT: The rest of the chain stays ours.
        // SAFETY: By the type invariants this is a folio of the chain.
        self.first = unsafe { bindings::damon_rs_helper_folio_next(folio.as_ptr()) };
        self.len = self.len.saturating_sub(1);
        // INVARIANT: It was owned by the chain, which it is no part of any more.
        Some(Isolated {
            calls: self.calls,
            folio,
        })
    }

    /// Lets a function of the kernel have them all as a list, in the order in which they were
    /// added but the last first. What the function leaves on the list is kept.
    ///
    /// # Safety
    ///
    /// The function must take over whatever it takes off the list, and may leave there only folios
    /// that are isolated, with the reference that comes with it. The list is there only until it
    /// returns.
    pub(super) unsafe fn as_list(&mut self, call: impl FnOnce(*mut c::list_head)) {
        let mut list = MaybeUninit::uninit();
        let list: *mut c::list_head = list.as_mut_ptr();
        // SAFETY: This initializes the list.
        unsafe { c::INIT_LIST_HEAD(list) };
        while let Some(isolated) = self.pop() {
            // SAFETY: The list is valid, and the folio's links are ours to use.
            unsafe {
                bindings::damon_rs_helper_folio_list_add_tail(
                    ManuallyDrop::new(isolated).as_ptr(),
                    list,
                );
            }
        }
        call(list);
        loop {
            // SAFETY: The list is valid, and all that is on it are folios, which the caller
            // promises.
            let first = unsafe { bindings::damon_rs_helper_folio_list_first(list) };
            let Some(folio) = NonNull::new(first) else {
                break;
            };
            // SAFETY: This folio is on the list.
            unsafe { bindings::damon_rs_helper_folio_list_del(folio.as_ptr()) };
            // INVARIANT: The caller promises that what is left is isolated, and on no list now.
            self.push(Isolated {
                calls: self.calls,
                folio,
            });
        }
    }
}

impl Drop for IsolatedFolios {
    fn drop(&mut self) {
        // Each is put back as it is dropped.
        while self.pop().is_some() {}
    }
}
