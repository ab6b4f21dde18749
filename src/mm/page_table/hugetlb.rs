// SPDX-License-Identifier: GPL-2.0

//! Areas of hugetlbfs.
//!
//! All of their pages have one size, and each is mapped by one entry of the level for this size.
//! Processes that map the same part of a file may share a table of such entries, which is why there
//! is a lock for each area against a table being taken away.
//!
//! C header: [`include/linux/hugetlb.h`](srctree/include/linux/hugetlb.h)

use core::ptr::NonNull;

use kernel::{
    bindings as c,
    mm::MmWithUser, //
};

#[cfg(CONFIG_HUGETLB_PAGE)]
use super::super::symbols;
#[cfg(CONFIG_HUGETLB_PAGE)]
use crate::bindings;

/// The lock that keeps the tables of an area of hugetlbfs.
///
/// # Invariants
///
/// This value owns a read lock of the area's tables, for areas that have such a lock, and the area
/// stays as long as this value.
#[cfg(CONFIG_HUGETLB_PAGE)]
pub(super) struct TablesLock {
    calls: &'static symbols::HugeTlb,
    vma: NonNull<c::vm_area_struct>,
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl TablesLock {
    /// Sleeps until whoever changes the tables is done. `None` if the kernel's functions for it are
    /// not to be had.
    ///
    /// # Safety
    ///
    /// The area must be one of hugetlbfs, and locked as long as the result lives.
    pub(super) unsafe fn new(vma: NonNull<c::vm_area_struct>) -> Option<Self> {
        let calls = symbols::hugetlb()?;
        // SAFETY: The caller promises that this is an area of hugetlbfs that does not go away.
        unsafe { calls.hugetlb_vma_lock_read(vma.as_ptr()) };
        // INVARIANT: We have just taken the lock.
        Some(Self { calls, vma })
    }

    /// The entry for the page of `1 << shift` bytes at an address of the area, and its spinlock.
    /// `None` if there is no table.
    pub(super) fn entry(
        &self,
        mm: &MmWithUser,
        addr: usize,
        shift: u32,
    ) -> Option<(*mut usize, *mut c::spinlock_t)> {
        let size = 1_usize.checked_shl(shift)?;
        let start = addr & !size.wrapping_sub(1);
        // SAFETY: By the type invariants tables of the area are not taken away. The address is that
        // of a page of the size that the area has.
        let entry = unsafe { self.calls.huge_pte_offset(mm.as_raw(), start, size) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: The entry is one of the area.
        let lock = unsafe { bindings::damon_rs_helper_huge_pte_lockptr(self.vma.as_ptr(), entry) };
        Some((entry.cast(), lock))
    }
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl Drop for TablesLock {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the lock, and this value is gone afterwards.
        unsafe { self.calls.hugetlb_vma_unlock_read(self.vma.as_ptr()) };
    }
}

/// There is no such area.
#[cfg(not(CONFIG_HUGETLB_PAGE))]
pub(super) struct TablesLock(core::convert::Infallible);

#[cfg(not(CONFIG_HUGETLB_PAGE))]
impl TablesLock {
    /// # Safety
    ///
    /// None is needed.
    pub(super) unsafe fn new(_: NonNull<c::vm_area_struct>) -> Option<Self> {
        None
    }

    pub(super) fn entry(
        &self,
        _: &MmWithUser,
        _: usize,
        _: u32,
    ) -> Option<(*mut usize, *mut c::spinlock_t)> {
        match self.0 {}
    }
}
