// SPDX-License-Identifier: GPL-2.0

//! VMAs, locked one at a time, and address ranges.
//!
//! With `CONFIG_PER_VMA_LOCK` each VMA has a lock of its own. Holding it for reading keeps the VMA
//! unchanged, and does not block changes of other VMAs. Without it, the mmap lock is used.
//!
//! C header: [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h)

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

use kernel::{
    bindings as c,
    mm::{
        virt::{
            flags,
            VmaRef, //
        },
        MmWithUser, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

use crate::bindings;

/// The kind of a VMA, which decides how its page tables are walked.
#[derive(Clone, Copy)]
pub(super) enum AreaKind {
    /// The page tables map folios, in pages of the base size or transparent huge pages.
    Usual,
    /// A VMA of hugetlbfs, with pages of `1 << shift` bytes.
    HugeTlb { shift: u32 },
    /// `VM_PFNMAP`. The page tables are not walked.
    Foreign,
}

/// The start of a VMA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// The start address.
    pub(crate) start: usize,
    /// The page offset of the start address (`vm_pgoff`): in the file, or for anonymous memory in
    /// the address space where it was mapped first.
    pub(crate) page: usize,
}

/// A VMA that is locked for reading.
///
/// While this exists, the thread must not wait for the mmap lock, and so not lock another VMA: a
/// thread that holds the mmap lock for writing may wait for this VMA lock.
///
/// # Invariants
///
/// `vma` is in the VMA tree of an address space that has users. This value owns a lock for reading
/// that keeps it there unchanged: the VMA lock, or the mmap lock without `CONFIG_PER_VMA_LOCK`.
pub(super) struct Area<'mm> {
    vma: NonNull<c::vm_area_struct>,
    span: Span,
    kind: AreaKind,
    origin: Origin,
    _mm: PhantomData<&'mm MmWithUser>,
    /// The lock must be released by the thread that has acquired it.
    _thread: NotThreadSafe,
}

impl<'mm> Area<'mm> {
    /// Locks the VMA that contains an address. If there is none, fails with a range of addresses
    /// around it that are in no VMA.
    ///
    /// Sleeps while another thread has the VMA write-locked. The caller must hold no other VMA lock
    /// and must not hold the mmap lock.
    pub(super) fn lock(mm: &'mm MmWithUser, addr: usize) -> Result<Self, Span> {
        let vma = lock(mm, addr)?;
        // SAFETY: `lock()` has locked the VMA for reading, and it stays locked as long as this
        // function uses the result.
        let area = unsafe { VmaRef::from_raw(vma.as_ptr()) };
        let kind = if area.flags() & flags::PFNMAP != 0 {
            AreaKind::Foreign
        } else if area.flags() & flags::HUGETLB != 0 {
            AreaKind::HugeTlb {
                // SAFETY: The VMA is locked and has `VM_HUGETLB`, so it has an hstate.
                shift: unsafe { bindings::damon_rs_helper_vma_huge_page_shift(vma.as_ptr()) },
            }
        } else {
            AreaKind::Usual
        };
        // INVARIANT: `lock()` has found the VMA in the VMA tree and locked it for reading. `mm` has
        // users.
        Ok(Self {
            vma,
            span: Span::up_to(area.start(), area.end()),
            kind,
            origin: Origin {
                start: area.start(),
                // SAFETY: The VMA is locked for reading, so the field does not change.
                page: unsafe { (*vma.as_ptr()).vm_pgoff },
            },
            _mm: PhantomData,
            _thread: NotThreadSafe,
        })
    }

    /// Returns the range of addresses of the VMA.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Returns the start of the VMA.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the kind of the VMA.
    pub(super) fn kind(&self) -> AreaKind {
        self.kind
    }

    /// Returns a pointer to the VMA.
    pub(super) fn as_ptr(&self) -> NonNull<c::vm_area_struct> {
        self.vma
    }
}

#[cfg(CONFIG_PER_VMA_LOCK)]
fn lock(mm: &MmWithUser, addr: usize) -> Result<NonNull<c::vm_area_struct>, Span> {
    // SAFETY: `mm` has users. The function accepts any address.
    let vma = unsafe { c::lock_vma_under_rcu(mm.as_raw(), addr) };
    if let Some(vma) = NonNull::new(vma) {
        return Ok(vma);
    }
    // Either no VMA contains the address, or its VMA is write-locked.
    if let Some(hole) = hole(mm, addr) {
        return Err(hole);
    }
    let _lock = mm.mmap_read_lock();
    // SAFETY: The mmap lock is held for reading. The function accepts any address.
    let vma = unsafe { c::vma_lookup(mm.as_raw(), addr) };
    NonNull::new(vma)
        // SAFETY: The VMA is in the VMA tree, and the mmap lock is held for reading. The helper
        // returns `false` if the VMA has too many readers.
        .filter(|vma| unsafe { bindings::damon_rs_helper_vma_start_read_locked(vma.as_ptr()) })
        .ok_or(Span::new(addr, addr))
}

/// Returns the range of addresses around `addr` that is in no VMA at the moment. `None` if `addr`
/// is in a VMA.
#[cfg(CONFIG_PER_VMA_LOCK)]
fn hole(mm: &MmWithUser, addr: usize) -> Option<Span> {
    use core::mem::MaybeUninit;

    use kernel::sync::rcu;

    let _rcu = rcu::read_lock();
    let mut iterator = MaybeUninit::uninit();
    // SAFETY: `mm` is valid. `vma_iter_init()` initializes the whole iterator.
    let mut iterator: c::vma_iterator = unsafe {
        bindings::damon_rs_helper_vma_iter_init(iterator.as_mut_ptr(), mm.as_raw(), addr);
        iterator.assume_init()
    };
    // SAFETY: The VMA tree may be walked under RCU, and `_rcu` is held. The VMA that is found is
    // not dereferenced.
    if !unsafe { c::mas_walk(&mut iterator.mas) }.is_null() {
        return None;
    }
    Some(Span::new(iterator.mas.index, iterator.mas.last))
}

#[cfg(CONFIG_PER_VMA_LOCK)]
impl Area<'_> {
    /// Returns whether another thread waits to write-lock the VMA.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The VMA is locked by the type invariants, so it is valid.
        unsafe { bindings::damon_rs_helper_vma_is_contended(self.vma.as_ptr()) }
    }
}

#[cfg(CONFIG_PER_VMA_LOCK)]
impl Drop for Area<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the VMA lock for reading. It does not use
        // the VMA after this call.
        unsafe { c::vma_end_read(self.vma.as_ptr()) };
    }
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
fn lock(mm: &MmWithUser, addr: usize) -> Result<NonNull<c::vm_area_struct>, Span> {
    let lock = mm.mmap_read_lock();
    // SAFETY: The mmap lock is held for reading. The function accepts any address.
    let next = unsafe { c::find_vma(mm.as_raw(), addr) };
    let next = NonNull::new(next).ok_or(Span::new(addr, usize::MAX))?;
    // SAFETY: The VMA is in the VMA tree, and the mmap lock is held for reading.
    let start = unsafe { VmaRef::from_raw(next.as_ptr()) }.start();
    if addr < start {
        return Err(Span::up_to(addr, start));
    }
    // `Area::lock()` puts the VMA into an `Area`, which releases the mmap lock on drop.
    core::mem::forget(lock);
    Ok(next)
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl Area<'_> {
    fn mm(&self) -> *mut c::mm_struct {
        // SAFETY: By the type invariants the VMA is valid, and the mmap lock is held.
        unsafe { VmaRef::from_raw(self.vma.as_ptr()) }.mm().as_raw()
    }

    /// Returns whether another thread waits for the mmap lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: By the type invariants the mm has users, so it is valid.
        unsafe { bindings::damon_rs_helper_mmap_lock_is_contended(self.mm()) }
    }
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl Drop for Area<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the mmap lock for reading. It does not use
        // the VMA after this call.
        unsafe { c::mmap_read_unlock(self.mm()) };
    }
}

/// A range of addresses. It can include the last address of the address space.
#[derive(Clone, Copy)]
pub(super) struct Span {
    first: usize,
    /// The last address, inclusive.
    last: usize,
}

impl Span {
    /// The empty range.
    pub(super) const EMPTY: Self = Self { first: 1, last: 0 };

    /// Creates the range from `first` to `last`, both inclusive.
    pub(super) const fn new(first: usize, last: usize) -> Self {
        Self { first, last }
    }

    /// Creates the range from `start` to `end`, exclusive.
    pub(super) const fn up_to(start: usize, end: usize) -> Self {
        if start < end {
            Self::new(start, end - 1)
        } else {
            Self::EMPTY
        }
    }

    /// Creates the aligned block of `1 << shift` bytes that contains an address.
    pub(super) const fn block(addr: usize, shift: u32) -> Self {
        let mask = !usize::MAX.wrapping_shl(shift);
        Self::new(addr & !mask, addr | mask)
    }

    #[inline]
    pub(super) const fn contains(self, addr: usize) -> bool {
        self.first <= addr && addr <= self.last
    }

    /// Returns the address after the range, `None` if the range ends at the last address.
    pub(super) const fn end(self) -> Option<usize> {
        self.last.checked_add(1)
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

#[kunit_tests(damon_rs_mm_span)]
mod tests {
    use super::Span;

    #[test]
    fn ends_belong_to_the_span() {
        let span = Span::up_to(0x1000, 0x3000);
        assert!(!span.contains(0xfff));
        assert!(span.contains(0x1000));
        assert!(span.contains(0x2fff));
        assert!(!span.contains(0x3000));
        assert!(Span::new(0, usize::MAX).contains(usize::MAX));
        assert_eq!(Span::up_to(0x1000, 0x3000).end(), Some(0x3000));
        assert_eq!(Span::new(0, usize::MAX).end(), None);
    }

    #[test]
    fn empty_spans_contain_nothing() {
        for span in [Span::EMPTY, Span::up_to(0x1000, 0x1000)] {
            assert!(![0, 1, 0xfff, 0x1000, usize::MAX]
                .iter()
                .any(|addr| span.contains(*addr)));
        }
        let apart = Span::up_to(0, 0x1000).intersection(Span::up_to(0x2000, 0x3000));
        assert!(!apart.contains(0xfff) && !apart.contains(0x1800) && !apart.contains(0x2000));
    }

    #[test]
    fn blocks_are_aligned() {
        let block = Span::block(0x40_1234, 21);
        assert!(block.contains(0x40_0000) && block.contains(0x5f_ffff));
        assert!(!block.contains(0x3f_ffff) && !block.contains(0x60_0000));
        // The last block of the address space.
        let block = Span::block(usize::MAX - 1, 39);
        assert!(block.contains(usize::MAX) && !block.contains(0));
    }
}
