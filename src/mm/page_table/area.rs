// SPDX-License-Identifier: GPL-2.0

//! Areas of an address space, locked one at a time.
//!
//! The kernel has a lock for each area (`CONFIG_PER_VMA_LOCK`). Who holds it for reading keeps the
//! area as it is, and is not in the way of anybody who changes the rest of the address space.
//! Kernels without it have one lock for all areas.
//!
//! C headers: [`include/linux/mmap_lock.h`](srctree/include/linux/mmap_lock.h)

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
    types::NotThreadSafe, //
};

use super::Span;
use crate::bindings;

/// What the page table of an area is like.
#[derive(Clone, Copy)]
pub(super) enum AreaKind {
    /// The usual kind, with folios behind.
    Usual,
    /// Of hugetlbfs, whose pages have all `1 << shift` bytes.
    HugeTlb { shift: u32 },
    /// Something else than user memory.
    Foreign,
}

/// Where an area begins: in the address space, and in what it maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// The first address.
    pub(crate) start: usize,
    /// The number of the page of a file, or of anonymous memory as it was mapped first, that is at
    /// this address.
    pub(crate) page: usize,
}

/// A locked area.
///
/// Nobody may wait for the lock of an address space, thus for another area, while holding this.
///
/// # Invariants
///
/// The area is in the VMA tree of an address space that has users. This value owns what keeps it
/// there unchanged: a lock of the area for reading, or, without such locks, the lock of the whole
/// address space for reading.
pub(super) struct Area<'mm> {
    vma: NonNull<c::vm_area_struct>,
    span: Span,
    kind: AreaKind,
    origin: Origin,
    _mm: PhantomData<&'mm MmWithUser>,
    /// Locks are released by the thread that took them.
    _thread: NotThreadSafe,
}

impl<'mm> Area<'mm> {
    /// Locks the area that an address is in. If it is in none, says which addresses around it are
    /// in none either.
    ///
    /// Sleeps until a thread that is about to change the area is done with it.
    pub(super) fn lock(mm: &'mm MmWithUser, addr: usize) -> Result<Self, Span> {
        let vma = lock(mm, addr)?;
        // SAFETY: The area is locked.
        let area = unsafe { VmaRef::from_raw(vma.as_ptr()) };
        let kind = if area.flags() & flags::PFNMAP != 0 {
            AreaKind::Foreign
        } else if area.flags() & flags::HUGETLB != 0 {
            AreaKind::HugeTlb {
                // SAFETY: This is an area of hugetlbfs, and locked.
                shift: unsafe { bindings::damon_rs_helper_vma_huge_page_shift(vma.as_ptr()) },
            }
        } else {
            AreaKind::Usual
        };
        // INVARIANT: The area was found in the tree and locked, both by `lock`, and `mm` has users.
        Ok(Self {
            vma,
            span: Span::up_to(area.start(), area.end()),
            kind,
            origin: Origin {
                start: area.start(),
                // SAFETY: The area is locked, so this does not change.
                page: unsafe { (*vma.as_ptr()).vm_pgoff },
            },
            _mm: PhantomData,
            _thread: NotThreadSafe,
        })
    }

    /// Its addresses.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Where it begins.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// What its page table is like.
    pub(super) fn kind(&self) -> AreaKind {
        self.kind
    }

    /// The area itself.
    pub(super) fn as_ptr(&self) -> NonNull<c::vm_area_struct> {
        self.vma
    }
}

#[cfg(CONFIG_PER_VMA_LOCK)]
fn lock(mm: &MmWithUser, addr: usize) -> Result<NonNull<c::vm_area_struct>, Span> {
    // SAFETY: The mm has users. Any address may be asked for.
    let vma = unsafe { c::lock_vma_under_rcu(mm.as_raw(), addr) };
    if let Some(vma) = NonNull::new(vma) {
        return Ok(vma);
    }
    // Either there is none, or somebody is changing it.
    if let Some(hole) = hole(mm, addr) {
        return Err(hole);
    }
    let _lock = mm.mmap_read_lock();
    // SAFETY: The lock is held. Any address may be asked for.
    let vma = unsafe { c::vma_lookup(mm.as_raw(), addr) };
    NonNull::new(vma)
        // SAFETY: The area is in the tree, which is locked. This fails if it has too many readers.
        .filter(|vma| unsafe { bindings::damon_rs_helper_vma_start_read_locked(vma.as_ptr()) })
        .ok_or(Span::new(addr, addr))
}

/// The addresses around one that are in no area, as things are now. `None` if it is in an area.
#[cfg(CONFIG_PER_VMA_LOCK)]
fn hole(mm: &MmWithUser, addr: usize) -> Option<Span> {
    use core::mem::MaybeUninit;

    use kernel::sync::rcu;

    let _rcu = rcu::read_lock();
    let mut iterator = MaybeUninit::uninit();
    // SAFETY: `vma_iter_init` writes the whole iterator. The mm is valid.
    let mut iterator: c::vma_iterator = unsafe {
        bindings::damon_rs_helper_vma_iter_init(iterator.as_mut_ptr(), mm.as_raw(), addr);
        iterator.assume_init()
    };
    // SAFETY: The tree may be read under RCU. What it has at the address is not dereferenced.
    if !unsafe { c::mas_walk(&mut iterator.mas) }.is_null() {
        return None;
    }
    Some(Span::new(iterator.mas.index, iterator.mas.last))
}

#[cfg(CONFIG_PER_VMA_LOCK)]
impl Area<'_> {
    /// Whether somebody waits for the lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The area is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_vma_is_contended(self.vma.as_ptr()) }
    }
}

#[cfg(CONFIG_PER_VMA_LOCK)]
impl Drop for Area<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a lock of the area, and this value is gone
        // afterwards.
        unsafe { c::vma_end_read(self.vma.as_ptr()) };
    }
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
fn lock(mm: &MmWithUser, addr: usize) -> Result<NonNull<c::vm_area_struct>, Span> {
    let lock = mm.mmap_read_lock();
    // SAFETY: The lock is held. Any address may be asked for.
    let next = unsafe { c::find_vma(mm.as_raw(), addr) };
    let next = NonNull::new(next).ok_or(Span::new(addr, usize::MAX))?;
    // SAFETY: The area is in the tree, which is locked.
    let start = unsafe { VmaRef::from_raw(next.as_ptr()) }.start();
    if addr < start {
        return Err(Span::up_to(addr, start));
    }
    // The lock is now owned by the caller, who puts it into an `Area`.
    core::mem::forget(lock);
    Ok(next)
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl Area<'_> {
    fn mm(&self) -> *mut c::mm_struct {
        // SAFETY: The area is valid by the type invariants, and belongs to the same mm all its
        // life.
        unsafe { VmaRef::from_raw(self.vma.as_ptr()) }.mm().as_raw()
    }

    /// Whether somebody waits for the lock.
    pub(super) fn is_contended(&self) -> bool {
        // SAFETY: The mm has users by the type invariants.
        unsafe { bindings::damon_rs_helper_mmap_lock_is_contended(self.mm()) }
    }
}

#[cfg(not(CONFIG_PER_VMA_LOCK))]
impl Drop for Area<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the lock, and this value is gone afterwards.
        unsafe { c::mmap_read_unlock(self.mm()) };
    }
}
