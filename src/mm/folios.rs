// SPDX-License-Identifier: GPL-2.0

//! Looking folios up by the numbers of their pages.

use kernel::sync::rcu;

use super::{
    folio::Folio,
    sections::Sections, //
};

/// Finds folios of user memory, best in ascending order of their pages.
///
/// From a look-up that finds nothing until [`relax`](Self::relax) the caller must not sleep: what
/// comes next is looked up in the same RCU read-side critical section.
pub(crate) struct Folios {
    sections: Sections,
    rcu: Option<rcu::Guard>,
}

impl Folios {
    /// Nothing was looked up yet.
    pub(crate) fn new() -> Self {
        Self {
            sections: Sections::new(),
            rcu: None,
        }
    }

    /// The folio of a page of physical memory. `None` if the page is not user memory: free, the
    /// kernel's, a device's, offline or not memory at all; and while somebody has it isolated.
    #[inline(always)]
    pub(crate) fn at(&mut self, pfn: usize) -> Option<Folio> {
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        let page = self.sections.page(pfn, rcu)?;
        // SAFETY: The page is there as long as the guard.
        let candidate = unsafe { Folio::candidate(page) }?;
        // SAFETY: As above.
        let folio = unsafe { Folio::take(page, candidate) }?;
        // Memory with references does not go offline, and looking for what maps a folio may sleep.
        self.rcu = None;
        Some(folio)
    }

    /// The number of the first page behind the section of memory around a page, if the whole
    /// section is offline or no memory at all.
    pub(crate) fn offline_until(&mut self, pfn: usize) -> Option<usize> {
        let rcu = self.rcu.get_or_insert_with(rcu::read_lock);
        self.sections.offline_until(pfn, rcu)
    }

    /// Lets the caller sleep.
    #[inline]
    pub(crate) fn relax(&mut self) {
        self.rcu = None;
    }
}
