// SPDX-License-Identifier: GPL-2.0

//! The reverse mapping: from a folio to all entries of page tables that map it.
//!
//! Whether a folio was accessed is told by the accessed bits of all its mappings, by the secondary
//! MMUs of their address spaces, and by its flag *idle* ([`folio`](super::folio)). What is not
//! mapped has the flag alone.
//!
//! A walk needs the folio's lock, which keeps it in its file or anonymous mapping, and holds the
//! lock of that mapping, which keeps areas in it and their page tables. The folio's lock is never
//! waited for: who holds it may be waiting for the disk, or reclaiming the folio.
//!
//! Neighbours in memory often belong to the same, whose lock [`Mappings`] keeps from one folio to the
//! next, unless somebody waits for it.
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
        set_idle,
        set_young,
        Folio,
        LockedFolio, //
    },
    notifiers::Notifiers,
    page_table::{
        EntryWord,
        Frames,
        KnownDirectory,
        Memory,
        Seen, //
    },
    symbols, //
};
use crate::bindings;
use lock::MappingLock;

/// The kernel's functions for the reverse mapping.
pub(crate) struct ReverseMap {
    calls: &'static symbols::ReverseMapping,
    frames: Frames,
}

impl ReverseMap {
    /// `None` if this kernel does not let us have them.
    pub(crate) fn get() -> Option<Self> {
        Some(Self {
            calls: symbols::reverse_mapping()?,
            frames: Frames::get(),
        })
    }

    /// To look at the mappings of one folio after the other.
    pub(crate) fn mappings(&self) -> Mappings<'_> {
        Mappings {
            map: self,
            lock: None,
        }
    }
}

/// The mappings of folios, best in the order in which they are in memory.
///
/// From a look at one until [`relax`](Self::relax) the caller must not wait for a lock of memory
/// management.
pub(crate) struct Mappings<'map> {
    map: &'map ReverseMap,
    /// Of what the folio belongs to that was looked at last.
    lock: Option<MappingLock>,
}

impl Mappings<'_> {
    /// Lets go of what is held, for whoever changes mappings, and so that the caller may sleep. To be
    /// called every few dozen folios.
    #[inline]
    pub(crate) fn relax(&mut self) {
        self.lock = None;
    }

    /// Whether there was an access to any part of a folio since [`mkold`](Self::mkold). `None` if
    /// it cannot be told now, because somebody else has the folio locked.
    ///
    /// May sleep, until who changes the folio's mappings is done.
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

    /// Forgets past accesses to a folio, and tells whether there were any. `None` if some may not
    /// be forgotten, because somebody else has the folio locked.
    ///
    /// Reclaim is told of them by the folio's flag *young*. The TLB is not flushed, as for a
    /// process's own page table.
    ///
    /// May sleep, until who changes the folio's mappings is done.
    pub(crate) fn mkold(&mut self, folio: &Folio) -> Option<bool> {
        if !folio.is_mapped() {
            let idle = folio.flags().idle();
            if !idle {
                // SAFETY: We have a reference to the folio.
                unsafe { set_idle(folio.as_ptr()) };
            }
            return Some(!idle);
        }
        let locked = folio.try_lock()?;
        let mut clearing = Clearing {
            found: false,
            any: false,
        };
        let complete = self.walk(&locked, &mut clearing);
        let mut accessed = clearing.found;
        if clearing.any && !folio.flags().idle() {
            accessed = true;
            // SAFETY: We have a reference to the folio.
            unsafe { set_idle(folio.as_ptr()) };
        }
        complete.then_some(accessed)
    }

    /// Shows all mappings of a folio to a visitor, until that has seen enough. `false` if some were
    /// left out because of a lock that must not be waited for.
    fn walk<V: Visitor>(&mut self, locked: &LockedFolio<'_>, visitor: &mut V) -> bool {
        let folio = locked.folio();
        let calls = self.map.calls;
        // Most are not, and each of these asks again.
        let large = folio.flags().large();
        let hugetlb = large && folio.is_hugetlb();
        let size = if large { folio.size() } else { PAGE_SIZE };
        let covers = |lock: &MappingLock| !hugetlb && lock.covers(locked);
        if !self.lock.as_ref().is_some_and(covers) {
            // Two of them are not held at once: there is an order.
            self.lock = None;
            if !hugetlb {
                // SAFETY: No other is held. Below it is dropped unless an area is seen.
                self.lock = unsafe { MappingLock::take(locked, calls) };
            }
        }
        let is_locked = self.lock.is_some();
        // The tables of hugetlb are others, and a walk that takes locks by itself may take several,
        // one after the other.
        let known = self.lock.as_mut().and_then(|lock| {
            let memory = Memory::of(folio.as_ptr(), size, &self.map.frames)?;
            Some((memory, lock.directory()))
        });
        let mut walk = Walk {
            calls,
            known,
            size,
            has_area: false,
            visitor,
        };
        let mut control = bindings::rmap_walk_control {
            arg: core::ptr::from_mut(&mut walk).cast(),
            // hugetlb takes the lock of a file's mappings first, and then those of its folios.
            // Everything else takes them as we do here.
            try_lock: hugetlb,
            contended: false,
            rmap_one: Some(Walk::<V>::one),
            done: None,
            // Others than the default function, this does not rely on `mmap_lock`.
            anon_lock: Some(bindings::damon_rs_call_folio_lock_anon_vma_read),
            invalid_vma: None,
        };
        // SAFETY: The folio is user memory, referenced and locked. `one` is called back with a
        // pointer to `walk`, before this returns. We are in a thread that may sleep, and hold no lock
        // but the folio's and, if it is the one that wants it held, that of what it belongs to.
        unsafe {
            match is_locked {
                true => calls.rmap_walk_locked(folio.as_ptr(), &mut control),
                false => calls.rmap_walk(folio.as_ptr(), &mut control),
            }
        };
        let has_area = walk.has_area;
        if !has_area || self.lock.as_ref().is_some_and(MappingLock::is_contended) {
            self.lock = None;
        }
        !control.contended
    }
}

/// What is done with each mapping of a folio.
trait Visitor {
    /// Returns whether to go on.
    fn visit(&mut self, mapping: &Mapping<'_>) -> bool;
}

/// Looks for an access.
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

/// Forgets accesses.
struct Clearing {
    /// Whether there were any.
    found: bool,
    /// Whether there is a mapping.
    any: bool,
}

impl Visitor for Clearing {
    #[inline]
    fn visit(&mut self, mapping: &Mapping<'_>) -> bool {
        self.found |= mapping.mkold();
        self.any = true;
        true
    }
}

/// A mapping of a folio, or of one of its pages.
///
/// # Invariants
///
/// `folio` is referenced, and mapped by `entry`, whose lock is held as long as this value exists.
/// The memory may be a device's that the processor cannot reach; the entry is not present then.
struct Mapping<'a> {
    folio: *mut c::folio,
    entry: EntryWord,
    start: usize,
    size: usize,
    notifiers: &'a Notifiers,
}

impl Mapping<'_> {
    /// Whether nothing else maps the folio now, which must be one of a single page.
    ///
    /// Mappings are counted before they are made, and discounted after they are gone. As this one
    /// does not go while its lock is held, a count of one is that of this one.
    #[inline]
    fn is_only_one(&self) -> bool {
        // SAFETY: The folio is referenced by the type invariants. A word is read at once.
        let others = unsafe {
            (&raw const (*self.folio)
                .__bindgen_anon_1
                .__bindgen_anon_1
                ._mapcount
                .counter)
                .read_volatile()
        };
        // It counts from -1.
        others == 0
    }

    /// Whether there was an access through it.
    #[inline]
    fn young(&self) -> bool {
        (self.entry.is_present() && self.entry.accessed()) || self.notifiers.test_young(self.start)
    }

    /// Forgets accesses through it, after telling reclaim, and returns whether there were any.
    #[inline]
    fn mkold(&self) -> bool {
        let accessed = self.entry.is_present() && self.entry.test_and_clear_accessed();
        let accessed = self.notifiers.clear_young(self.start, self.size) || accessed;
        if accessed {
            // Under the lock of the entry: reclaim, which looks for both, finds one of them.
            // SAFETY: The folio is referenced by the type invariants.
            unsafe { set_young(self.folio) };
        }
        accessed
    }
}

/// What the kernel hands back to us for each area that maps a folio.
struct Walk<'a, V> {
    calls: &'static symbols::ReverseMapping,
    /// The folio's memory, and what is known since the lock of the reverse mapping was taken, which is
    /// held all the time. `None` if only the kernel's function can tell where it is mapped.
    known: Option<(Memory<'a>, &'a mut KnownDirectory)>,
    /// How many bytes the folio has.
    size: usize,
    /// Whether an area was shown to us.
    has_area: bool,
    visitor: &'a mut V,
}

impl<V: Visitor> Walk<'_, V> {
    /// Visits all mappings of a folio in an area; `addr` is where it begins, or would. Returns
    /// whether to go on with other areas.
    ///
    /// # Safety
    ///
    /// To be called by `rmap_walk` only, with a pointer to a `Walk`.
    unsafe extern "C" fn one(
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: c_ulong,
        arg: *mut c_void,
    ) -> bool {
        // SAFETY: This is the pointer that was handed to `rmap_walk`, to a value that nobody else
        // uses meanwhile.
        let walk = unsafe { &mut *arg.cast::<Self>() };
        walk.has_area = true;
        // SAFETY: The area is there as long as the lock of the reverse mapping is held, that is
        // until we return. The address space of an area never changes, and exists as long as it has
        // areas.
        let mm = unsafe { (*vma).vm_mm };
        // SAFETY: As above; and nobody adds the first notifier while the lock is held.
        let notifiers = unsafe { Notifiers::of(mm) };
        if let Some((memory, directory)) = &mut walk.known {
            // SAFETY: As above; whoever changes what an area is takes the lock for writing.
            let end = unsafe { (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end };
            let end = addr.saturating_add(walk.size).min(end);
            let see = |entry, start, size| {
                let mapping = Mapping {
                    folio,
                    entry,
                    start,
                    size,
                    notifiers: &notifiers,
                };
                // There is nothing left to be seen if this is the only one.
                walk.visitor.visit(&mapping) && !(walk.size == PAGE_SIZE && mapping.is_only_one())
            };
            // SAFETY: The area is in the reverse mapping, whose lock is held, and it is not one of
            // hugetlbfs: the folio is not. The directory was found under that lock, which `walk` of
            // `Mappings` has taken.
            match unsafe { memory.entries(mm, addr, end, directory, see) } {
                Seen::All => return true,
                Seen::Enough => return false,
                // Those that were shown may well be shown again.
                Seen::NotAll => {}
            }
        }
        // SAFETY: The folio is referenced, and the area there.
        unsafe { walk.ask(folio, vma, addr, &notifiers) }
    }

    /// Visits all mappings of a folio in an area as the kernel's function finds them. Returns whether
    /// to go on with other areas.
    ///
    /// # Safety
    ///
    /// As for [`Place::new`], as long as this takes. The notifiers must be those of the area's address
    /// space.
    #[inline(never)]
    unsafe fn ask(
        &mut self,
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: usize,
        notifiers: &Notifiers,
    ) -> bool {
        // SAFETY: The caller promises it.
        let mut place = unsafe { Place::new(self.calls, folio, vma, addr) };
        while let Some((entry, start, size)) = place.next() {
            let mapping = Mapping {
                folio,
                entry,
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

/// A place in the part of a page table that maps a folio.
///
/// # Invariants
///
/// `walk` is as `page_vma_mapped_walk` has left it, or as that wants it at the beginning. If
/// `found`, it is at an entry that maps the folio, whose lock we own.
struct Place<'a> {
    calls: &'static symbols::ReverseMapping,
    walk: bindings::page_vma_mapped_walk,
    found: bool,
    _area: PhantomData<&'a ()>,
}

impl Place<'_> {
    /// # Safety
    ///
    /// The folio must be referenced, locked and user memory; the area must be in its reverse
    /// mapping, and the lock of that held. All this as long as the result lives.
    #[inline]
    unsafe fn new(
        calls: &'static symbols::ReverseMapping,
        folio: *mut c::folio,
        vma: *mut c::vm_area_struct,
        addr: usize,
    ) -> Self {
        let mut walk = bindings::page_vma_mapped_walk::default();
        // SAFETY: The caller promises that both are valid.
        unsafe { bindings::damon_rs_helper_folio_vma_walk(&mut walk, folio, vma, addr) };
        // INVARIANT: This is how C code sets it up.
        Self {
            calls,
            walk,
            found: false,
            _area: PhantomData,
        }
    }

    /// The next entry that maps the folio or a page of it: what it says, the first address that it
    /// maps and how much. The last one must not be used any more.
    #[inline]
    fn next(&mut self) -> Option<(EntryWord, usize, usize)> {
        // SAFETY: By the type invariants the walk may go on.
        self.found = unsafe { self.calls.page_vma_mapped_walk(&mut self.walk) };
        if !self.found {
            return None;
        }
        let bytes = |pages: usize| pages.saturating_mul(PAGE_SIZE);
        let (entry, size): (*mut usize, usize) = if self.walk.pte.is_null() {
            (self.walk.pmd.cast(), 1 << c::PMD_SHIFT)
        // SAFETY: The area is valid by the type invariants.
        } else if unsafe { bindings::damon_rs_helper_is_vm_hugetlb_page(self.walk.vma) } {
            (self.walk.pte.cast(), bytes(self.walk.nr_pages))
        } else {
            (self.walk.pte.cast(), PAGE_SIZE)
        };
        // SAFETY: By the type invariants it is the entry of a table that is locked until we go on
        // or are dropped, and before that the caller lets go of the result.
        let entry = unsafe { EntryWord::read(entry) };
        Some((entry, self.walk.address, size))
    }
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.found {
            // SAFETY: By the type invariants the walk is at an entry, thus not done.
            unsafe { bindings::damon_rs_helper_page_vma_mapped_walk_done(&mut self.walk) };
        }
    }
}
