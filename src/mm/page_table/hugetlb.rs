// SPDX-License-Identifier: GPL-2.0

//! VMAs of hugetlbfs.
//!
//! All pages of such a VMA have one size, and each is mapped by one entry of the level for this
//! size. Processes that map the same part of a file may share a PMD table. The hugetlb VMA lock
//! prevents that a shared table is taken out of a VMA (`huge_pmd_unshare()`).
//!
//! C header: [`include/linux/hugetlb.h`](srctree/include/linux/hugetlb.h)

use kernel::bindings as c;

#[cfg(CONFIG_HUGETLB_PAGE)]
use super::super::symbols;
use super::vma::HugeTlbVma;
#[cfg(CONFIG_HUGETLB_PAGE)]
use crate::bindings;

/// The hugetlb VMA lock, which keeps the page tables of a hugetlb VMA.
///
/// # Invariants
///
/// This value owns the hugetlb VMA lock for reading, if the VMA has one.
#[cfg(CONFIG_HUGETLB_PAGE)]
pub(super) struct TablesLock<'lock> {
    calls: &'static symbols::HugeTlb,
    vma: HugeTlbVma<'lock>,
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl<'lock> TablesLock<'lock> {
    /// Acquires the hugetlb VMA lock. Sleeps while another thread holds it for writing. Returns
    /// `None` if the kernel functions for it were not found.
    pub(super) fn new(vma: HugeTlbVma<'lock>) -> Option<Self> {
        let calls = symbols::hugetlb()?;
        // SAFETY: By the invariants of `HugeTlbVma` this is a hugetlb VMA that is locked.
        unsafe { calls.hugetlb_vma_lock_read(vma.as_ptr()) };
        // INVARIANT: The lock was acquired above, if the VMA has one.
        Some(Self { calls, vma })
    }

    /// Returns the entry of an address of the VMA, and its page table lock. `None` if there is no
    /// page table, or the address is not in the VMA.
    pub(super) fn entry(&self, addr: usize) -> Option<(*mut usize, *mut c::spinlock_t)> {
        if !self.vma.contains(addr) {
            return None;
        }
        let size = 1_usize.checked_shl(self.vma.shift())?;
        let start = addr & !size.wrapping_sub(1);
        // SAFETY: By the type invariants the hugetlb VMA lock is held, so that no shared table of
        // the VMA is unshared. A private VMA has no shared tables; `linux/hugetlb.h` names the mmap
        // lock for it. The VMA lock serves as well, because page tables are freed only after their
        // VMA was write-locked. The VMA is one of `mm` and has pages of this size, to which `start`
        // is aligned.
        let entry = unsafe { self.calls.huge_pte_offset(self.vma.mm(), start, size) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: `entry` is a page table entry of this VMA, which is locked by the invariants of
        // `HugeTlbVma`.
        let lock = unsafe { bindings::damon_rs_helper_huge_pte_lockptr(self.vma.as_ptr(), entry) };
        Some((entry.cast(), lock))
    }
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl Drop for TablesLock<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the lock. It does not use the VMA after
        // this call.
        unsafe { self.calls.hugetlb_vma_unlock_read(self.vma.as_ptr()) };
    }
}

/// Without `CONFIG_HUGETLB_PAGE` no VMA is one of hugetlbfs.
#[cfg(not(CONFIG_HUGETLB_PAGE))]
pub(super) struct TablesLock<'lock>(
    core::convert::Infallible,
    core::marker::PhantomData<HugeTlbVma<'lock>>,
);

#[cfg(not(CONFIG_HUGETLB_PAGE))]
impl<'lock> TablesLock<'lock> {
    pub(super) fn new(_: HugeTlbVma<'lock>) -> Option<Self> {
        None
    }

    pub(super) fn entry(&self, _: usize) -> Option<(*mut usize, *mut c::spinlock_t)> {
        match self.0 {}
    }
}
