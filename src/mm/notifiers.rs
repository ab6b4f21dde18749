// SPDX-License-Identifier: GPL-2.0

//! Secondary MMUs: page tables of virtual machines and devices that map memory of a process.
//!
//! A secondary MMU may have accessed bits of its own. Its driver registers an MMU notifier with
//! callbacks that test and clear them.
//!
//! C header: [`include/linux/mmu_notifier.h`](srctree/include/linux/mmu_notifier.h)

use kernel::bindings as c;

#[cfg(CONFIG_MMU_NOTIFIER)]
use super::symbols;

/// The MMU notifiers of an address space.
///
/// # Invariants
///
/// If this is `Some`, the `mm_struct` is valid as long as this value exists, and its
/// `notifier_subscriptions` is not null. The kernel sets that field once and keeps it until the
/// `mm_struct` is freed.
pub(super) struct Notifiers(
    #[cfg(CONFIG_MMU_NOTIFIER)] Option<(&'static symbols::SecondaryMmus, *mut c::mm_struct)>,
);

#[cfg(CONFIG_MMU_NOTIFIER)]
impl Notifiers {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Returns the MMU notifiers of an address space.
    ///
    /// The result is complete while the caller holds the mmap lock, a VMA lock, or an rmap lock
    /// under which a VMA of the address space is linked: the first notifier of an address space is
    /// registered under `mm_take_all_locks()`, which acquires all of these locks for writing.
    ///
    /// # Safety
    ///
    /// `mm` must point to an `mm_struct` that stays valid as long as the result exists.
    #[inline]
    pub(super) unsafe fn of(mm: *mut c::mm_struct) -> Self {
        // This is `mm_has_notifiers()`, inlined because it runs once for each mapping of a folio.
        // SAFETY: `mm` is valid by the safety requirements of this function. The field may be set
        // concurrently, but never torn: it is read with one aligned load.
        let notifiers =
            unsafe { (&raw const (*mm).__bindgen_anon_1.notifier_subscriptions).read_volatile() };
        if notifiers.is_null() {
            return Self(None);
        }
        // INVARIANT: `notifier_subscriptions` is not null, and `mm` stays valid as long as the
        // result by the safety requirements.
        Self(symbols::secondary_mmus().map(|calls| (calls, mm)))
    }

    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether a secondary MMU has accessed an address. Does not sleep; may be called with
    /// page table locks held.
    #[inline]
    pub(super) fn test_young(&self, addr: usize) -> bool {
        match self.0 {
            None => false,
            // SAFETY: By the type invariants the mm is valid and has notifier subscriptions. The
            // function only enters an SRCU read-side critical section, and `test_young` callbacks
            // must not sleep, so it may be called with page table locks held.
            Some((calls, mm)) => unsafe { calls.__mmu_notifier_test_young(mm, addr) },
        }
    }

    /// Clears the accessed bits of the secondary MMUs for `size` bytes from `start` on. Returns
    /// whether any was set. Does not sleep; may be called with page table locks held.
    #[inline]
    pub(super) fn clear_young(&self, start: usize, size: usize) -> bool {
        match self.0 {
            None => false,
            // SAFETY: By the type invariants the mm is valid and has notifier subscriptions. The
            // function only enters an SRCU read-side critical section, and `clear_young` callbacks
            // must not sleep, so it may be called with page table locks held.
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
    /// Always safe to call: `_mm` is not dereferenced.
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
