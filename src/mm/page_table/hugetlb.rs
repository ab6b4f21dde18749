// SPDX-License-Identifier: GPL-2.0

//! VMAs of hugetlbfs.
//!
//! All pages of such a VMA have one size, and each is mapped by one entry of the level for this
//! size. Processes that map the same part of a file may share a PMD table. The hugetlb VMA lock
//! prevents that a shared table is taken out of a VMA (`huge_pmd_unshare()`).
//!
//! C header: [`include/linux/hugetlb.h`](srctree/include/linux/hugetlb.h)

#[cfg(not(CONFIG_HUGETLB_PAGE))]
use core::convert::Infallible;
use core::marker::PhantomData;
#[cfg(CONFIG_HUGETLB_PAGE)]
use core::ptr::NonNull;

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
/// This value owns the hugetlb VMA lock of `vma` for reading, if the VMA has one. The VMA is locked
/// for `'lock`.
#[cfg(CONFIG_HUGETLB_PAGE)]
pub(super) struct TablesLock<'lock> {
    calls: &'static symbols::HugeTlb,
    vma: NonNull<c::vm_area_struct>,
    _vma: PhantomData<HugeTlbVma<'lock>>,
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl<'lock> TablesLock<'lock> {
    /// Acquires the hugetlb VMA lock, and finds the entry of an address of the VMA and its page
    /// table lock. Both are valid as long as the hugetlb VMA lock is held. Returns `None` if there
    /// is no page table, the address is not in the VMA, or the kernel functions were not found.
    ///
    /// Sleeps while another thread holds the hugetlb VMA lock for writing.
    pub(super) fn with_entry(
        vma: HugeTlbVma<'lock>,
        addr: usize,
    ) -> Option<(Self, *mut usize, *mut c::spinlock_t)> {
        let calls = symbols::hugetlb()?;
        let size = 1_usize.checked_shl(vma.shift())?;
        if !vma.contains(addr) {
            return None;
        }
        // SAFETY: By the invariants of `HugeTlbVma` this is a hugetlb VMA that is locked.
        unsafe { calls.hugetlb_vma_lock_read(vma.as_ptr().as_ptr()) };
        // INVARIANT: The lock was acquired above, if the VMA has one. `vma` is locked for `'lock`.
        let lock = Self {
            calls,
            vma: vma.as_ptr(),
            _vma: PhantomData,
        };
        let start = addr & !size.wrapping_sub(1);
        // SAFETY: `lock` holds the hugetlb VMA lock, so that no shared table of the VMA is
        // unshared. A private VMA has no shared tables; `linux/hugetlb.h` names the mmap lock for
        // it. The VMA lock serves as well, because page tables are freed only after their VMA was
        // write-locked. The VMA is one of the mm and has pages of this size, to which `start` is
        // aligned.
        let entry = unsafe { calls.huge_pte_offset(vma.mm(), start, size) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: `entry` is a page table entry of this VMA, which is locked by the invariants of
        // `HugeTlbVma`.
        let spinlock =
            unsafe { bindings::damon_rs_helper_huge_pte_lockptr(vma.as_ptr().as_ptr(), entry) };
        Some((lock, entry.cast(), spinlock))
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
pub(super) struct TablesLock<'lock>(Infallible, PhantomData<HugeTlbVma<'lock>>);

#[cfg(not(CONFIG_HUGETLB_PAGE))]
impl<'lock> TablesLock<'lock> {
    pub(super) fn with_entry(
        _: HugeTlbVma<'lock>,
        _: usize,
    ) -> Option<(Self, *mut usize, *mut c::spinlock_t)> {
        None
    }
}
