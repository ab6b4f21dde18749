// SPDX-License-Identifier: GPL-2.0

//! Secondary MMUs: page tables of virtual machines and devices that map the memory of a process.
//!
//! Each has accessed bits of its own, which its driver lets others read and clear through a
//! notifier.
//!
//! C header: [`include/linux/mmu_notifier.h`](srctree/include/linux/mmu_notifier.h)

use kernel::bindings as c;

#[cfg(CONFIG_MMU_NOTIFIER)]
use super::symbols;

/// The secondary MMUs of an address space.
///
/// # Invariants
///
/// `Some` only for an address space that has notifiers, and that exists as long as this value. It
/// has them for the rest of its life.
pub(super) struct Notifiers(
    #[cfg(CONFIG_MMU_NOTIFIER)] Option<(&'static symbols::SecondaryMmus, *mut c::mm_struct)>,
);

#[cfg(CONFIG_MMU_NOTIFIER)]
impl Notifiers {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Those of an address space.
    ///
    /// # Safety
    ///
    /// The address space must exist as long as the result lives. The result is complete as long as
    /// the caller holds any lock that whoever maps memory needs: the first notifier is added with
    /// all areas and all locks of the reverse mapping held for writing.
    #[inline]
    pub(super) unsafe fn of(mm: *mut c::mm_struct) -> Self {
        // As `mm_has_notifiers()` has it, which would have to be called for each mapping of a folio.
        // SAFETY: The caller promises that the mm is valid. A word is read at once.
        let notifiers =
            unsafe { (&raw const (*mm).__bindgen_anon_1.notifier_subscriptions).read_volatile() };
        if notifiers.is_null() {
            return Self(None);
        }
        // INVARIANT: It was just seen to have some.
        Self(symbols::secondary_mmus().map(|calls| (calls, mm)))
    }

    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether one has seen an access to an address. May be called under locks of the page table.
    #[inline]
    pub(super) fn test_young(&self, addr: usize) -> bool {
        match self.0 {
            None => false,
            // SAFETY: The mm is valid and has notifiers by the type invariants. They are made to be
            // called under locks of the page table.
            Some((calls, mm)) => unsafe { calls.__mmu_notifier_test_young(mm, addr) },
        }
    }

    /// Lets them forget accesses to a range, and tells whether there were any. May be called under
    /// locks of the page table.
    #[inline]
    pub(super) fn clear_young(&self, start: usize, size: usize) -> bool {
        match self.0 {
            None => false,
            // SAFETY: As in `test_young`.
            Some((calls, mm)) => unsafe {
                calls.__mmu_notifier_clear_young(mm, start, start.saturating_add(size))
            },
        }
    }
}

#[cfg(not(CONFIG_MMU_NOTIFIER))]
impl Notifiers {
    pub(super) const fn none() -> Self {
        Self()
    }

    /// # Safety
    ///
    /// None is needed.
    #[inline]
    pub(super) unsafe fn of(_mm: *mut c::mm_struct) -> Self {
        Self()
    }

    #[inline]
    pub(super) fn is_none(&self) -> bool {
        true
    }

    #[inline]
    pub(super) fn test_young(&self, _addr: usize) -> bool {
        false
    }

    #[inline]
    pub(super) fn clear_young(&self, _start: usize, _size: usize) -> bool {
        false
    }
}
