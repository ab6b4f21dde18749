// SPDX-License-Identifier: GPL-2.0

//! The reverse mapping (rmap): from a folio to all page table entries that map it.
//!
//! Accesses to a folio are recorded in the accessed bits of all its mappings, in the secondary MMUs
//! of their address spaces, and in its *idle* flag (see [`folio`](super::folio)). A folio that is
//! not mapped has the flag alone.
//!
//! A walk needs the folio lock, which keeps `folio->mapping`, and an rmap lock, which keeps the
//! VMAs that map the folio and their page tables. The walk only tries to lock the folio: the holder
//! of that lock may be waiting for I/O or reclaiming the folio, and an rmap lock that was kept
//! nests inside of it.
//!
//! Neighbouring folios often share an rmap lock. [`Mappings`] keeps it from one folio to the next,
//! unless another thread waits for it.
//!
//! C header: [`include/linux/rmap.h`](srctree/include/linux/rmap.h)

use core::{
    ffi::c_void,
    marker::PhantomData, //
};

use kernel::{
    bindings as c,
    ffi::c_ulong,
    page::PAGE_SIZE, //
};

mod lock;

use super::{
    folio::{
        is_mapped_once,
        set_idle,
        set_young,
        Folio,
        LockedFolio, //
    },
    notifiers::Notifiers,
    page_table::{
        EntryWord,
        Frames,
        Memory,
        ScanResult, //
    },
    record_id::RecordId,
    symbols, //
};
use crate::bindings;
use lock::MappingLock;

/// The kernel's rmap functions, and the layout of page table entries.
pub(crate) struct ReverseMap {
    calls: &'static symbols::ReverseMapping,
    frames: Frames,
}

impl ReverseMap {
    /// Returns `None` if the kernel functions for it were not found.
    pub(crate) fn get() -> Option<Self> {
        Some(Self {
            calls: symbols::reverse_mapping()?,
            frames: Frames::get(),
        })
    }

    /// Starts a sequence of rmap walks.
    pub(crate) fn mappings(&self) -> Mappings<'_> {
        Mappings {
            map: self,
            lock: None,
        }
    }
}

/// Tests and clears the accessed bits of folios by rmap walks. Walking the folios in the order of
/// their PFNs is the fastest.
///
/// Between a walk and the next call of [`drop_locks`](Self::drop_locks) an rmap lock may be held,
/// so the caller must not acquire other locks of memory management.
pub(crate) struct Mappings<'map> {
    map: &'map ReverseMap,
    /// The rmap lock of the last folio, if it was kept.
    lock: Option<MappingLock>,
}

impl Mappings<'_> {
    /// Releases the rmap lock, so that the caller may sleep. The caller must call this every few
    /// dozen folios, because other threads may wait for the lock.
    #[inline]
    pub(crate) fn drop_locks(&mut self) {
        self.lock = None;
    }

    /// Returns whether any part of a folio was accessed since [`mkold`](Self::mkold). `None` if
    /// that cannot be determined at the moment, because another thread holds the folio lock or, for
    /// a hugetlb folio, the rmap lock.
    ///
    /// Sleeps while another thread holds the rmap lock of the folio for writing.
    pub(crate) fn young(&mut self, folio: &Folio) -> Option<bool> {
        if !folio.flags().idle() {
            return Some(true);
        }
        if !folio.is_mapped() {
            return Some(false);
        }
        let locked = folio.try_lock()?;
        let mut search = Search { found: false };
        let complete = self.walk(&locked, &mut search);
        (complete || search.found).then_some(search.found)
    }

    /// Clears the record of past accesses to a folio and returns whether there were any. `None` if
    /// it may not be cleared completely, because another thread holds the folio lock or, for a
    /// hugetlb folio, the rmap lock.
    ///
    /// Sets the *young* flag for reclaim if an accessed bit was cleared. The TLB is not flushed, as
    /// in [`Entry::mkold`](super::page_table::Entry::mkold).
    ///
    /// Calls `cleared` with each place in which accesses were cleared: an entry, while its page
    /// table is locked, or the folio with its idle flag. `cleared` must not sleep.
    ///
    /// Sleeps while another thread holds the rmap lock of the folio for writing.
    pub(crate) fn mkold(
        &mut self,
        folio: &Folio,
        mut cleared: impl FnMut(RecordId),
    ) -> Option<bool> {
        if !folio.is_mapped() {
            let idle = folio.flags().idle();
            if !idle {
                cleared(folio.id().into());
                // SAFETY: `folio` owns a reference, so the folio is neither freed nor split.
                unsafe { set_idle(folio.as_ptr()) };
            }
            return Some(!idle);
        }
        let locked = folio.try_lock()?;
        let mut clearing = Clearing {
            found: false,
            any: false,
            cleared: &mut cleared,
        };
        let complete = self.walk(&locked, &mut clearing);
        let Clearing { found, any, .. } = clearing;
        let mut accessed = found;
        if any && !folio.flags().idle() {
            accessed = true;
            cleared(folio.id().into());
            // SAFETY: `folio` owns a reference, so the folio is neither freed nor split.
            unsafe { set_idle(folio.as_ptr()) };
        }
        complete.then_some(accessed)
    }

    /// Passes the mappings of a folio to a visitor until it stops the walk. Returns `false` if
    /// mappings were left out because a lock was not available.
    fn walk<V: Visitor>(&mut self, locked: &LockedFolio<'_>, visitor: &mut V) -> bool {
        let folio = locked.folio();
        let calls = self.map.calls;
        // Most folios are not large. Checking this once saves the checks in the calls below.
        let large = folio.flags().large();
        let hugetlb = large && folio.is_hugetlb();
        let size = if large { folio.size() } else { PAGE_SIZE };
        let covers = |lock: &MappingLock| !hugetlb && lock.covers(locked);
        if !self.lock.as_ref().is_some_and(covers) {
            // Two rmap locks must not be held at once: `i_mmap_rwsem` is outside of the rwsem of an
            // `anon_vma`, and two locks of one kind have no order.
            self.lock = None;
            if !hugetlb {
                // SAFETY: `self.lock` is `None`, so no other rmap lock is held. Below, the lock is
                // dropped unless `one()` was called for a VMA that is linked under it. `locked` is
                // borrowed, so the folio is unlocked after that.
                self.lock = unsafe { MappingLock::take(locked, calls) };
            }
        }
        let is_locked = self.lock.is_some();
        // The page tables of hugetlb VMAs are walked differently. Without `self.lock`, the walk may
        // acquire several rmap locks in turn, and none of them can lend page tables.
        let locked = self.lock.as_mut().and_then(|lock| {
            let memory = Memory::of(folio.as_ptr(), size, &self.map.frames)?;
            Some((memory, lock))
        });
        let mut walk = Walk {
            calls,
            locked,
            size,
            has_vma: false,
            visitor,
        };
        let mut control = bindings::rmap_walk_control {
            arg: core::ptr::from_mut(&mut walk).cast(),
            // A hugetlb folio is locked inside of `i_mmap_rwsem`, the other way round than all
            // other folios, so the rmap lock must not be waited for here.
            try_lock: hugetlb,
            contended: false,
            rmap_one: Some(Walk::<V>::one),
            done: None,
            // Unlike the default function, this one does not rely on the mmap lock.
            anon_lock: Some(bindings::damon_rs_call_folio_lock_anon_vma_read),
            invalid_vma: None,
        };
        // SAFETY: The folio is user memory, referenced and locked. `control.arg` points to `walk`,
        // which is of the type that `one()` expects, and `one()` is not called any more after the
        // function has returned. The thread may sleep. It holds no lock but the folio lock and, for
        // `rmap_walk_locked()`, the rmap lock of the folio, which that function requires.
        unsafe {
            if is_locked {
                calls.rmap_walk_locked(folio.as_ptr(), &mut control)
            } else {
                calls.rmap_walk(folio.as_ptr(), &mut control)
            }
        };
        let has_vma = walk.has_vma;
        if !has_vma || self.lock.as_ref().is_some_and(MappingLock::is_contended) {
            self.lock = None;
        }
        !control.contended
    }
}

/// An operation on each mapping of a folio.
trait Visitor {
    /// Visits a mapping. May be called more than once for the same mapping. Returns whether the
    /// walk goes on. Must not sleep: a page table lock is held.
    fn visit(&mut self, mapping: &Mapping<'_>) -> bool;
}

/// Stops at the first mapping with an access.
struct Search {
    found: bool,
}

impl Visitor for Search {
    #[inline]
    fn visit(&mut self, mapping: &Mapping<'_>) -> bool {
        self.found = mapping.young();
        !self.found
    }
}

/// Clears the accesses of all mappings.
struct Clearing<'a, F> {
    /// Whether there was an access.
    found: bool,
    /// Whether there was a mapping.
    any: bool,
    /// Called with each entry in which accesses were cleared.
    cleared: &'a mut F,
}

impl<F: FnMut(RecordId)> Visitor for Clearing<'_, F> {
    #[inline]
    fn visit(&mut self, mapping: &Mapping<'_>) -> bool {
        if mapping.mkold() {
            self.found = true;
            (self.cleared)(mapping.entry.id());
        }
        self.any = true;
        true
    }
}

/// A mapping of a folio, or of a page of it.
///
/// # Invariants
///
/// The folio is referenced. `entry` maps it or a page of it, and the lock of its page table is held
/// as long as this value exists. The entry is not present if it maps device-private memory.
struct Mapping<'a> {
    folio: *mut c::folio,
    entry: &'a EntryWord<'a>,
    start: usize,
    size: usize,
    notifiers: &'a Notifiers,
}

impl Mapping<'_> {
    /// Returns whether this is the only mapping of the folio, which must have a single page.
    #[inline]
    fn is_only_one(&self) -> bool {
        // SAFETY: By the type invariants the folio is referenced, and this mapping of it stays.
        unsafe { is_mapped_once(self.folio) }
    }

    /// Returns whether there was an access through this mapping.
    #[inline]
    fn young(&self) -> bool {
        (self.entry.is_present() && self.entry.accessed()) || self.notifiers.test_young(self.start)
    }

    /// Clears accesses through this mapping and returns whether there were any. Sets the *young*
    /// flag for reclaim then.
    #[inline]
    fn mkold(&self) -> bool {
        let accessed = self.entry.is_present() && self.entry.test_and_clear_accessed();
        let accessed = self.notifiers.clear_young(self.start, self.size) || accessed;
        if accessed {
            // The page table lock is held for this, so reclaim, which tests the accessed bit under
            // it and the flag after it, finds one of them.
            // SAFETY: By the type invariants the folio is referenced, so it is neither freed nor
            // split.
            unsafe { set_young(self.folio) };
        }
        accessed
    }
}

/// The argument of the callback of `rmap_walk()`.
struct Walk<'a, V> {
    calls: &'static symbols::ReverseMapping,
    /// The memory of the folio, and its rmap lock. `None` if only `page_vma_mapped_walk()` can find
    /// the mappings.
    locked: Option<(Memory<'a>, &'a mut MappingLock)>,
    /// The size of the folio in bytes.
    size: usize,
    /// Whether the callback was called for a VMA.
    has_vma: bool,
    visitor: &'a mut V,
}

impl<V: Visitor> Walk<'_, V> {
    /// Visits all mappings of a folio in a VMA. `addr` is the first address in the VMA at which the
    /// folio would be mapped. Returns whether the walk goes on with other VMAs.
    ///
    /// # Safety
    ///
    /// Must be called by `rmap_walk()` or `rmap_walk_locked()` only, with an `arg` that points to a
    /// `Walk<V>` that is not used otherwise during the call.
    unsafe extern "C" fn one(
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: c_ulong,
        arg: *mut c_void,
    ) -> bool {
        // SAFETY: By the safety requirements `arg` points to a `Self` that is not used otherwise.
        let walk = unsafe { &mut *arg.cast::<Self>() };
        walk.has_vma = true;
        // SAFETY: The caller holds an rmap lock under which the VMA is linked, so the VMA exists.
        // Its `vm_mm` never changes.
        let mm = unsafe { (*vma).vm_mm };
        // SAFETY: The `mm_struct` exists as long as a VMA of it is linked. The rmap lock, under
        // which it is, is held until this function returns, and it keeps the list of notifiers
        // complete.
        let notifiers = unsafe { Notifiers::of(mm) };
        if let Some((memory, lock)) = &mut walk.locked {
            // SAFETY: `rmap_walk_locked()` has found the VMA in the interval tree of the folio's
            // mapping, whose rmap lock this is, and `addr` in the VMA.
            let linked = unsafe { lock.linked_vma(vma, addr, addr.saturating_add(walk.size)) };
            let visit = |entry: &EntryWord<'_>, start, size| {
                let mapping = Mapping {
                    folio,
                    entry,
                    start,
                    size,
                    notifiers: &notifiers,
                };
                // If this is the only mapping of a single page, there is no other to visit.
                walk.visitor.visit(&mapping) && !(walk.size == PAGE_SIZE && mapping.is_only_one())
            };
            match memory.entries(linked, visit) {
                ScanResult::All => return true,
                ScanResult::Enough => return false,
                // Mappings that were visited above may be visited again.
                ScanResult::NotAll => {}
            }
        }
        // SAFETY: The folio is referenced, locked and user memory. The VMA is linked under the rmap
        // lock, which is held until this function returns. `notifiers` are those of its
        // `mm_struct`.
        unsafe { walk.visit(folio, vma, addr, &notifiers) }
    }

    /// Visits all mappings of a folio in a VMA that `page_vma_mapped_walk()` finds. Returns whether
    /// the walk goes on with other VMAs.
    ///
    /// # Safety
    ///
    /// During the call, the safety requirements of [`MappedWalk::new`] must be met, and `notifiers`
    /// must be those of the VMA's address space.
    #[inline(never)]
    unsafe fn visit(
        &mut self,
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: usize,
        notifiers: &Notifiers,
    ) -> bool {
        // SAFETY: By the safety requirements, during this call the folio is user memory, referenced
        // and locked, and the VMA is linked under the rmap lock of the folio, which is held.
        // `mapped` is dropped at its end.
        let mut mapped = unsafe { MappedWalk::new(self.calls, folio, vma, addr) };
        while let Some((entry, start, size)) = mapped.next() {
            let mapping = Mapping {
                folio,
                entry: &entry,
                start,
                size,
                notifiers,
            };
            if !self.visitor.visit(&mapping) {
                return false;
            }
        }
        true
    }
}

/// An iteration of `page_vma_mapped_walk()` over the mappings of a folio in a VMA.
///
/// # Invariants
///
/// `walk` is initialized, or as `page_vma_mapped_walk()` has left it. If `found`, it is at an entry
/// that maps the folio or a page of it, and holds the lock of that page table.
struct MappedWalk<'a> {
    calls: &'static symbols::ReverseMapping,
    walk: bindings::page_vma_mapped_walk,
    found: bool,
    _vma: PhantomData<&'a ()>,
}

impl MappedWalk<'_> {
    /// # Safety
    ///
    /// The folio must be user memory, referenced and locked. The VMA must be linked into the
    /// interval tree of the folio's mapping, and the rmap lock must be held. All this must hold as
    /// long as the result exists.
    #[inline]
    unsafe fn new(
        calls: &'static symbols::ReverseMapping,
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: usize,
    ) -> Self {
        let mut walk = bindings::page_vma_mapped_walk::default();
        // SAFETY: By the safety requirements the folio and the VMA are valid. The helper
        // initializes `walk`.
        unsafe { bindings::damon_rs_helper_folio_vma_walk(&mut walk, folio, vma, addr) };
        // INVARIANT: `walk` was initialized with `DEFINE_FOLIO_VMA_WALK()`.
        Self {
            calls,
            walk,
            found: false,
            _vma: PhantomData,
        }
    }

    /// Returns the next entry that maps the folio or a page of it, the first address that it maps,
    /// and the size of the block in bytes. Must not be called again after `None`.
    #[inline]
    fn next(&mut self) -> Option<(EntryWord<'_>, usize, usize)> {
        // SAFETY: By the type invariants `walk` is initialized or at the last entry. `new()`
        // requires the locks and references that the function needs.
        self.found = unsafe { self.calls.page_vma_mapped_walk(&mut self.walk) };
        if !self.found {
            return None;
        }
        let bytes = |pages: usize| pages.saturating_mul(PAGE_SIZE);
        let (entry, size): (*mut usize, usize) = if self.walk.pte.is_null() {
            (self.walk.pmd.cast(), 1 << c::PMD_SHIFT)
        // SAFETY: The VMA exists by the safety requirements of `new()`.
        } else if unsafe { bindings::damon_rs_helper_is_vm_hugetlb_page(self.walk.vma) } {
            (self.walk.pte.cast(), bytes(self.walk.nr_pages))
        } else {
            (self.walk.pte.cast(), PAGE_SIZE)
        };
        // SAFETY: By the type invariants the lock of the page table is held until the next call or
        // until `self` is dropped. The result borrows `self`, so both come after its lifetime.
        let entry = unsafe { EntryWord::read(entry) };
        Some((entry, self.walk.address, size))
    }
}

impl Drop for MappedWalk<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.found {
            // SAFETY: By the type invariants the walk is at an entry and holds the lock of its page
            // table.
            unsafe { bindings::damon_rs_helper_page_vma_mapped_walk_done(&mut self.walk) };
        }
    }
}
