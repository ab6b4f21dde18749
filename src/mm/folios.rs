// SPDX-License-Identifier: GPL-2.0

//! Look-up of folios by PFN.

use kernel::sync::rcu;

use super::{
    folio::Folio,
    sections::Sections, //
};

/// Looks up folios of user memory by PFN. Look-ups in ascending order are the fastest.
///
/// A look-up that finds nothing leaves an RCU read-side critical section open for the next one.
/// From then on the caller must not sleep until it has called [`drop_locks`](Self::drop_locks) or a
/// look-up has found a folio.
pub(crate) struct Folios {
    sections: Sections,
    rcu: Option<rcu::Guard>,
}

impl Folios {
    /// Creates a look-up with an empty cache.
    pub(crate) fn new() -> Self {
        Self {
            sections: Sections::new(),
            rcu: None,
        }
    }

    /// Returns the folio that contains a page of physical memory. `None` if the page is not user
    /// memory, that is, if it is free, the kernel's, a device's or offline, if the PFN is not that
    /// of a page, and while the folio is isolated.
    #[inline(always)]
    pub(crate) fn at(&mut self, pfn: usize) -> Option<Folio> {
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        let page = self.sections.page(pfn, rcu)?;
        // SAFETY: `Sections::page()` has found the page online in the RCU read-side critical
        // section that `self.rcu` holds. The `struct page` exists until that section ends, because
        // the module has a registered `Watch` as long as a kdamond runs. No type enforces the
        // latter.
        let candidate = unsafe { Folio::candidate(page) }?;
        // SAFETY: The `struct page` exists as long as `self.rcu` is held, and `Folio::candidate()`
        // has returned `candidate` for it in the same RCU read-side critical section.
        let folio = unsafe { Folio::take(page, candidate) }?;
        // The reference keeps the memory online, so the RCU read-side critical section can end. The
        // caller may sleep in an rmap walk.
        self.rcu = None;
        Some(folio)
    }

    /// Returns the PFN after the section that contains `pfn`, if the whole section is offline or
    /// has no memory.
    pub(crate) fn offline_until(&mut self, pfn: usize) -> Option<usize> {
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        self.sections.offline_until(pfn, rcu)
    }

    /// Ends the RCU read-side critical section, so that the caller may sleep.
    #[inline]
    pub(crate) fn drop_locks(&mut self) {
        self.rcu = None;
    }
}
