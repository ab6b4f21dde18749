// SPDX-License-Identifier: GPL-2.0

//! The entries of an area that map a folio, for the reverse mapping.
//!
//! For the kernel's own code `page_vma_mapped_walk()` finds them. It asks all that there can be at
//! each step, and gives one entry at a time. Here is what nearly all memory is mapped by: tables of
//! PTE entries that are present, and PMD entries of transparent huge pages. Whoever meets something
//! else is told so and asks the kernel's function.

use kernel::{
    bindings as c,
    page::{
        PAGE_MASK,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::rcu, //
};

use super::{
    directory::Directory,
    frames::Frames,
    leaf::LeafTable,
    span::Span,
    word::EntryWord, //
};

/// What a look at all entries has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::mm) enum Seen {
    /// All were shown.
    All,
    /// Who was shown them has seen enough.
    Enough,
    /// There is an entry that only the kernel's function understands: it says that the memory is
    /// elsewhere, which may be a device that has taken a page of the folio for itself. Any number of
    /// others were shown.
    NotAll,
}

/// The directory in which an entry was found last.
///
/// It stays in place as long as the lock of the reverse mapping that it was found under: that keeps
/// an area, an area keeps the tables that serve it, and a directory serves all areas of an address
/// space in its range. The address space is kept as well, so none comes to be at the same place.
pub(in crate::mm) struct KnownDirectory {
    mm: *mut c::mm_struct,
    directory: Directory,
}

impl KnownDirectory {
    /// Nothing is known yet.
    pub(in crate::mm) const fn none() -> Self {
        Self {
            mm: core::ptr::null_mut(),
            directory: Directory::UNKNOWN,
        }
    }

    /// As [`Directory::find`].
    ///
    /// # Safety
    ///
    /// As for [`Directory::find`] with the lock of a reverse mapping; and that lock must have been held
    /// since this was made.
    #[inline]
    unsafe fn find(&mut self, mm: *mut c::mm_struct, addr: usize) -> Result<&Directory, Span> {
        if self.mm != mm || !self.directory.span().contains(addr) {
            // SAFETY: The caller promises it.
            unsafe { self.go_to(mm, addr) }?;
        }
        Ok(&self.directory)
    }

    /// Finds another one.
    ///
    /// # Safety
    ///
    /// As for [`Self::find`].
    #[inline(never)]
    unsafe fn go_to(&mut self, mm: *mut c::mm_struct, addr: usize) -> Result<(), Span> {
        // SAFETY: The caller promises it.
        self.directory = unsafe { Directory::find(mm, addr) }?;
        self.mm = mm;
        Ok(())
    }
}

/// The memory of a folio that is not one of hugetlb's, as page tables name it.
#[derive(Clone, Copy)]
pub(in crate::mm) struct Memory<'a> {
    frames: &'a Frames,
    /// The first address, of physical memory.
    start: usize,
    /// How many bytes.
    size: usize,
}

impl<'a> Memory<'a> {
    /// That of a folio of `size` bytes. `None` where entries do not say which page they map, as on
    /// virtual machines whose page tables are the host's.
    #[inline]
    pub(in crate::mm) fn of(folio: *mut c::folio, size: usize, frames: &'a Frames) -> Option<Self> {
        Some(Self {
            frames,
            start: frames.address_of(folio.cast())?,
            size,
        })
    }

    /// Whether a page is in it.
    #[inline]
    fn contains(&self, page: usize) -> bool {
        page.wrapping_sub(self.start) < self.size
    }

    /// Whether what a PMD entry maps is in it in part.
    #[inline]
    fn overlaps(&self, start: usize, size: usize) -> bool {
        start.wrapping_sub(self.start) < self.size || self.start.wrapping_sub(start) < size
    }

    /// Shows all entries for the addresses from `addr` to before `end` that map this memory, as long
    /// as `see` returns `true`: what they say, where what they map begins, and how much it is. The
    /// entry is not to be used later.
    ///
    /// # Safety
    ///
    /// The addresses must be those of an area of `mm` that is not one of hugetlbfs, and the lock of a
    /// reverse mapping that the area is in must be held. What is known must be nothing, or have come
    /// from here since that lock was taken. `see` must not sleep.
    #[inline]
    pub(in crate::mm) unsafe fn entries(
        &self,
        mm: *mut c::mm_struct,
        addr: usize,
        end: usize,
        known: &mut KnownDirectory,
        mut see: impl FnMut(EntryWord, usize, usize) -> bool,
    ) -> Seen {
        let mut at = addr;
        while at < end {
            // SAFETY: The caller promises that the area is in the reverse mapping, whose lock is
            // held.
            let directory = match unsafe { known.find(mm, at) } {
                Ok(directory) => directory,
                Err(none) => {
                    let Some(next) = none.end() else {
                        return Seen::All;
                    };
                    at = next;
                    continue;
                }
            };
            // Behind the last page that has the same PMD entry.
            let next = (at | ((1 << c::PMD_SHIFT) - 1)).saturating_add(1).min(end);
            let rcu = rcu::read_lock();
            // SAFETY: As above. The address is in the directory, and the table is left before the
            // lock of the reverse mapping is.
            if let Some(table) = unsafe { LeafTable::lock(mm, directory, self.frames, at, &rcu) } {
                let leaf = table.leaf(at);
                let seen = if leaf.mask == PAGE_MASK {
                    // SAFETY: The table is locked for these addresses, which have one PMD entry.
                    unsafe { self.ptes(leaf.entry, at, next, &mut see) }
                } else {
                    // SAFETY: As above: this is the entry of all of them.
                    unsafe { self.pmd(leaf.entry, at, &mut see) }
                };
                if seen != Seen::All {
                    return seen;
                }
            }
            at = next;
        }
        Seen::All
    }

    /// Shows what is to be shown of PTE entries in a row, the first of which is for `addr`.
    ///
    /// # Safety
    ///
    /// The entries must be valid, and the lock of their table held.
    #[inline]
    unsafe fn ptes(
        &self,
        first: *mut usize,
        addr: usize,
        end: usize,
        see: &mut impl FnMut(EntryWord, usize, usize) -> bool,
    ) -> Seen {
        let (mut entry, mut at) = (first, addr);
        while at < end {
            // SAFETY: The caller promises that the entry is there, and locked.
            let word = unsafe { EntryWord::read(entry) };
            if word.is_present() {
                if self.contains(self.frames.address(&word)) && !see(word, at, PAGE_SIZE) {
                    return Seen::Enough;
                }
            } else if word.value() != 0 {
                return Seen::NotAll;
            }
            entry = entry.wrapping_add(1);
            at = at.saturating_add(PAGE_SIZE);
        }
        Seen::All
    }

    /// Shows a PMD entry for `addr`, if it is to be shown.
    ///
    /// # Safety
    ///
    /// As for [`Self::ptes`].
    #[inline]
    unsafe fn pmd(
        &self,
        entry: *mut usize,
        addr: usize,
        see: &mut impl FnMut(EntryWord, usize, usize) -> bool,
    ) -> Seen {
        const SIZE: usize = 1 << c::PMD_SHIFT;
        // SAFETY: The caller promises that the entry is there, and locked.
        let word = unsafe { EntryWord::read(entry) };
        if !word.is_present() {
            return Seen::NotAll;
        }
        // The lowest bits of the address have a meaning of their own in these.
        let start = self.frames.address(&word) & !(SIZE - 1);
        if self.overlaps(start, SIZE) && !see(word, addr, SIZE) {
            return Seen::Enough;
        }
        Seen::All
    }
}

#[kunit_tests(damon_rs_mm_mapped)]
mod tests {
    use super::*;

    const PAGE: usize = PAGE_SIZE;
    const PRESENT: usize = 1 << c::_PAGE_BIT_PRESENT;
    const PROTNONE: usize = 1 << c::_PAGE_BIT_PROTNONE;
    const NX: usize = 1 << 63;
    const ADDR: usize = 0x7f00_0000_0000;

    /// Two pages from the third on, seen through some entries: at which addresses, and the outcome.
    fn look(mut entries: [usize; 4], most: usize) -> (Seen, [usize; 4], usize) {
        let frames = Frames::example();
        let memory = Memory {
            frames: &frames,
            start: 2 * PAGE,
            size: 2 * PAGE,
        };
        let (mut found, mut count) = ([0; 4], 0);
        let mut see = |_: EntryWord, addr: usize, size: usize| {
            assert_eq!(size, PAGE);
            if let Some(place) = found.get_mut(count) {
                *place = addr - ADDR;
            }
            count += 1;
            count < most
        };
        // SAFETY: These are as many entries, and nobody else knows of them.
        let seen = unsafe {
            memory.ptes(
                entries.as_mut_ptr(),
                ADDR,
                ADDR + entries.len() * PAGE,
                &mut see,
            )
        };
        (seen, found, count)
    }

    #[test]
    fn entries_that_map_a_folio() {
        let page = |number: usize| number * PAGE | PRESENT | NX;
        let entries = [page(1), page(3), 0, page(2)];
        assert_eq!(look(entries, 9), (Seen::All, [PAGE, 3 * PAGE, 0, 0], 2));
        assert_eq!(look(entries, 1), (Seen::Enough, [PAGE, 0, 0, 0], 1));
        assert_eq!(look([0, page(1), page(4), 0], 9), (Seen::All, [0; 4], 0));
    }

    #[test]
    fn entries_that_the_processor_does_not_follow() {
        // They have the address inverted.
        let page = |number: usize| !(number * PAGE) & Frames::example().mask() | PROTNONE;
        assert_eq!(
            look([page(1), page(2), page(3), page(4)], 9),
            (Seen::All, [PAGE, 2 * PAGE, 0, 0], 2)
        );
    }

    #[test]
    fn entries_without_memory_are_for_others() {
        let page = |number: usize| number * PAGE | PRESENT;
        assert_eq!(
            look([page(2), 0x1234 << 14, page(3), 0], 9),
            (Seen::NotAll, [0; 4], 1)
        );
    }

    #[test]
    fn memory_that_overlaps() {
        let frames = Frames::example();
        let memory = |start, size| Memory {
            frames: &frames,
            start,
            size,
        };
        assert!(memory(2 * PAGE, PAGE).overlaps(0, 4 * PAGE));
        assert!(memory(0, 4 * PAGE).overlaps(3 * PAGE, PAGE));
        assert!(!memory(0, 4 * PAGE).overlaps(4 * PAGE, PAGE));
        assert!(!memory(4 * PAGE, PAGE).overlaps(0, 4 * PAGE));
    }
}
