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
enum VmaKind {
    /// The page tables map folios, in pages of the base size or transparent huge pages.
    Normal,
    /// A VMA of hugetlbfs, with pages of `1 << shift` bytes.
    HugeTlb { shift: u32 },
    /// `VM_PFNMAP`. The page tables are not walked.
    PfnMap,
}

/// The page tables that serve a range of addresses of a VMA, and that stay in place for `'lock`.
///
/// The value is a proof: a function that takes it needs no promise of its caller about locks. What
/// is found with it has the same lifetime.
///
/// # Invariants
///
/// - `span` is in one VMA of `mm`, which is not one of hugetlbfs.
/// - For all of `'lock` this VMA is locked for reading, or an rmap lock is held under which it is
///   linked. So the tables that serve it are neither freed nor moved, see
///   [`Cursor`](super::Cursor). `mm` is valid as long.
#[derive(Clone, Copy)]
pub(super) struct VmaTables<'lock> {
    mm: *mut c::mm_struct,
    span: Span,
    _lock: PhantomData<&'lock ()>,
}

impl VmaTables<'_> {
    /// Creates the proof for the addresses of `span`.
    ///
    /// # Safety
    ///
    /// - `span` must be in one VMA of `mm` that is not one of hugetlbfs.
    /// - For the lifetime of the result, this VMA must be locked, or an rmap lock must be held
    ///   under which it is linked.
    #[inline]
    pub(super) unsafe fn new(mm: *mut c::mm_struct, span: Span) -> Self {
        // INVARIANT: They are the safety requirements of this function.
        Self {
            mm,
            span,
            _lock: PhantomData,
        }
    }

    /// Returns the address space.
    #[inline]
    pub(super) fn mm(&self) -> *mut c::mm_struct {
        self.mm
    }

    /// Returns the range of addresses.
    #[inline]
    pub(super) fn span(&self) -> Span {
        self.span
    }
}

/// A VMA of hugetlbfs that is locked for `'lock`.
///
/// # Invariants
///
/// `vma` is a VMA of `mm` and of hugetlbfs, with pages of `1 << shift` bytes and the addresses in
/// `span`. It is locked for reading for all of `'lock`. `mm` is valid as long.
#[derive(Clone, Copy)]
pub(super) struct HugeTlbVma<'lock> {
    mm: *mut c::mm_struct,
    vma: NonNull<c::vm_area_struct>,
    span: Span,
    shift: u32,
    _lock: PhantomData<&'lock ()>,
}

impl HugeTlbVma<'_> {
    /// Returns the binary logarithm of the size of a page in bytes.
    pub(super) fn shift(&self) -> u32 {
        self.shift
    }
}

#[cfg(CONFIG_HUGETLB_PAGE)]
impl HugeTlbVma<'_> {
    /// Returns the address space.
    pub(super) fn mm(&self) -> *mut c::mm_struct {
        self.mm
    }

    /// Returns a pointer to the VMA.
    pub(super) fn as_ptr(&self) -> NonNull<c::vm_area_struct> {
        self.vma
    }

    /// Returns whether an address is in the VMA.
    pub(super) fn contains(&self, addr: usize) -> bool {
        self.span.contains(addr)
    }
}

/// The page tables of a locked VMA.
pub(super) enum PageTables<'lock> {
    /// They map folios, in pages of the base size or transparent huge pages.
    Normal(VmaTables<'lock>),
    /// They are those of a VMA of hugetlbfs.
    HugeTlb(HugeTlbVma<'lock>),
    /// They are not walked: the VMA has `VM_PFNMAP`.
    PfnMap,
}

impl PageTables<'_> {
    /// Extends the lifetime, for a struct that owns the lock and what is found under it.
    ///
    /// # Safety
    ///
    /// The result, and all that is found with it, must not be used after the VMA was unlocked.
    pub(super) unsafe fn extend<'long>(self) -> PageTables<'long> {
        // INVARIANT: By the safety requirements the VMA is locked as long as the results are used.
        match self {
            Self::Normal(tables) => PageTables::Normal(VmaTables {
                mm: tables.mm,
                span: tables.span,
                _lock: PhantomData,
            }),
            Self::HugeTlb(vma) => PageTables::HugeTlb(HugeTlbVma {
                mm: vma.mm,
                vma: vma.vma,
                span: vma.span,
                shift: vma.shift,
                _lock: PhantomData,
            }),
            Self::PfnMap => PageTables::PfnMap,
        }
    }
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
/// `vma` is in the VMA tree of `mm`, and `span` and `kind` are its. This value owns a lock for
/// reading that keeps it there unchanged: the VMA lock, or the mmap lock without
/// `CONFIG_PER_VMA_LOCK`.
pub(super) struct LockedVma<'mm> {
    mm: &'mm MmWithUser,
    vma: NonNull<c::vm_area_struct>,
    span: Span,
    kind: VmaKind,
    origin: Origin,
    /// The lock must be released by the thread that has acquired it.
    _thread: NotThreadSafe,
}

impl<'mm> LockedVma<'mm> {
    /// Locks the VMA that contains an address. If there is none, fails with a range of addresses
    /// around it that are in no VMA.
    ///
    /// Sleeps while another thread has the VMA write-locked. The caller must hold no other VMA lock
    /// and must not hold the mmap lock.
    pub(super) fn lock(mm: &'mm MmWithUser, addr: usize) -> Result<Self, Span> {
        let vma = lock(mm, addr)?;
        // SAFETY: `lock()` has locked the VMA for reading, and it stays locked as long as this
        // function uses the result.
        let fields = unsafe { VmaRef::from_raw(vma.as_ptr()) };
        let kind = if fields.flags() & flags::PFNMAP != 0 {
            VmaKind::PfnMap
        } else if fields.flags() & flags::HUGETLB != 0 {
            VmaKind::HugeTlb {
                // SAFETY: The VMA is locked and has `VM_HUGETLB`, so it has an hstate.
                shift: unsafe { bindings::damon_rs_helper_vma_huge_page_shift(vma.as_ptr()) },
            }
        } else {
            VmaKind::Normal
        };
        // INVARIANT: `lock()` has found the VMA in the VMA tree and locked it for reading. The
        // other fields were read under that lock.
        Ok(Self {
            mm,
            vma,
            span: Span::up_to(fields.start(), fields.end()),
            kind,
            origin: Origin {
                start: fields.start(),
                // SAFETY: The VMA is locked for reading, so the field does not change.
                page: unsafe { (*vma.as_ptr()).vm_pgoff },
            },
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

    /// Returns the page tables of the VMA, which stay in place as long as it is locked.
    pub(super) fn page_tables(&self) -> PageTables<'_> {
        // INVARIANT: By the type invariants the VMA is locked as long as `self` exists, has the
        // addresses in `span`, and is one of hugetlbfs only if `kind` says so. `mm` is borrowed for
        // longer than that.
        match self.kind {
            VmaKind::Normal => PageTables::Normal(VmaTables {
                mm: self.mm.as_raw(),
                span: self.span,
                _lock: PhantomData,
            }),
            VmaKind::HugeTlb { shift } => PageTables::HugeTlb(HugeTlbVma {
                mm: self.mm.as_raw(),
                vma: self.vma,
                span: self.span,
                shift,
                _lock: PhantomData,
            }),
            VmaKind::PfnMap => PageTables::PfnMap,
        }
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
impl LockedVma<'_> {
    /// Returns whether another thread waits to write-lock the VMA.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The VMA is locked by the type invariants, so it is valid.
        unsafe { bindings::damon_rs_helper_vma_is_contended(self.vma.as_ptr()) }
    }
}

#[cfg(CONFIG_PER_VMA_LOCK)]
impl Drop for LockedVma<'_> {
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
    // `LockedVma::lock()` puts the VMA into a `LockedVma`, which releases the mmap lock on drop.
    core::mem::forget(lock);
    Ok(next)
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl LockedVma<'_> {
    /// Returns whether another thread waits for the mmap lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The mm is valid because `self.mm` is a reference to it.
        unsafe { bindings::damon_rs_helper_mmap_lock_is_contended(self.mm.as_raw()) }
    }
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl Drop for LockedVma<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this value owns the mmap lock for reading. It does not use
        // the VMA after this call.
        unsafe { c::mmap_read_unlock(self.mm.as_raw()) };
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
