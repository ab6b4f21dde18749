// SPDX-License-Identifier: GPL-2.0

//! VMAs of hugetlbfs.
//!
//! All pages of such a VMA have one size, and each is mapped by one entry of the level for this
//! size. Processes that map the same part of a file may share a PMD table. The hugetlb VMA lock
//! prevents that a shared table is taken out of a VMA (`huge_pmd_unshare()`).
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

/// The hugetlb VMA lock, which keeps the page tables of a hugetlb VMA.
///
/// # Invariants
///
/// This value owns the hugetlb VMA lock for reading, if the VMA has one. The VMA stays locked as
/// long as this value exists.
#[cfg(CONFIG_HUGETLB_PAGE)]
pub(super) struct TablesLock {
    calls: &'static symbols::HugeTlb,
    vma: NonNull<c::vm_area_struct>,
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl TablesLock {
    /// Acquires the hugetlb VMA lock. Sleeps while another thread holds it for writing. Returns
    /// `None` if the kernel functions for it were not found.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA of hugetlbfs, and must be locked as long as the result exists.
    pub(super) unsafe fn new(vma: NonNull<c::vm_area_struct>) -> Option<Self> {
        let calls = symbols::hugetlb()?;
        // SAFETY: By the safety requirements this is a hugetlb VMA that is locked.
        unsafe { calls.hugetlb_vma_lock_read(vma.as_ptr()) };
        // INVARIANT: The lock was acquired above, if the VMA has one. The VMA stays locked by the
        // safety requirements.
        Some(Self { calls, vma })
    }

    /// Returns the entry for the page of `1 << shift` bytes at an address of the VMA, and its page
    /// table lock. `None` if there is no page table. `shift` must be that of the VMA.
    pub(super) fn entry(
        &self,
        mm: &MmWithUser,
        addr: usize,
        shift: u32,
    ) -> Option<(*mut usize, *mut c::spinlock_t)> {
        let size = 1_usize.checked_shl(shift)?;
        let start = addr & !size.wrapping_sub(1);
        // SAFETY: By the type invariants the hugetlb VMA lock is held, so that no shared table of
        // the VMA is unshared. A private VMA has no shared tables; `linux/hugetlb.h` names the mmap
        // lock for it. The VMA lock serves as well, because page tables are freed only after their
        // VMA was write-locked. `start` is aligned to the page size of the VMA.
        let entry = unsafe { self.calls.huge_pte_offset(mm.as_raw(), start, size) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: `entry` is a page table entry of this VMA, and the VMA is locked by the type
        // invariants.
        let lock = unsafe { bindings::damon_rs_helper_huge_pte_lockptr(self.vma.as_ptr(), entry) };
        Some((entry.cast(), lock))
    }
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl Drop for TablesLock {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the lock. It does not use the VMA after
        // this call.
        unsafe { self.calls.hugetlb_vma_unlock_read(self.vma.as_ptr()) };
    }
}

/// Without `CONFIG_HUGETLB_PAGE` no VMA is one of hugetlbfs.
#[cfg(not(CONFIG_HUGETLB_PAGE))]
pub(super) struct TablesLock(core::convert::Infallible);

#[cfg(not(CONFIG_HUGETLB_PAGE))]
impl TablesLock {
    /// # Safety
    ///
    /// Always safe to call: the VMA is not dereferenced.
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
