// SPDX-License-Identifier: GPL-2.0

//! Sections: the units, of 128 MiB on x86, in which physical memory has `struct page`s.
//!
//! `pfn_to_online_page()` tells whether a number is that of a page of memory that is in use. It
//! finds the section, sees whether that is online, and whether the page is in a part of it that
//! there is: most of what a look at a free page costs. [`Sections`] remembers the section of the
//! last page, and whether all parts of it are there. For other pages of it there is one word left
//! to look at, the one that says whether it is online now.
//!
//! # Why the pages that it finds are there
//!
//! Memory goes offline before it is removed, and only then its `struct page`s are freed, or
//! overwritten to find those who still look at them. Pages are looked at in RCU read-side critical
//! sections, each of which has seen the section online; and between the two steps
//! [`Watch`](super::hotplug::Watch) has whoever takes memory away wait for those that have begun
//! before. Not covered are pages that hold the `struct page`s of the very block that they are part
//! of, where these fill whole sections: that takes blocks of 8 GiB, and on x86 there are none.
//!
//! A section that was whole is whole whenever it is online: what is put online are blocks of whole
//! sections without holes.
//!
//! C headers: [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h),
//! [`include/linux/memory_hotplug.h`](srctree/include/linux/memory_hotplug.h)

use kernel::{
    bindings as c,
    sync::rcu, //
};

use crate::bindings;

/// Pages in a section.
const PAGES: usize = c::PAGES_PER_SECTION as usize;

/// Finds the pages of physical memory by their numbers, best in ascending order.
///
/// # Invariants
///
/// If `section` is not null it is the section of the pages from `first` on, and that was seen to be
/// whole. The kernel never frees it. `pages` is where the array of all pages begins.
pub(super) struct Sections {
    first: usize,
    section: *const Section,
    pages: *mut c::page,
}

/// Of kernels whose pages are not in one array, each page has to be asked for.
#[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
type Section = c::mem_section;
#[cfg(not(CONFIG_SPARSEMEM_VMEMMAP))]
type Section = core::convert::Infallible;

impl Sections {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        // INVARIANT: No section is known.
        Self {
            // No section begins there.
            first: usize::MAX,
            section: core::ptr::null(),
            // SAFETY: This is a constant of a kernel that runs.
            pages: unsafe { bindings::damon_rs_helper_first_page() },
        }
    }

    /// The page of this number, `None` if that is not memory that is online. It stays there as long
    /// as the guard.
    #[inline(always)]
    pub(super) fn page(&mut self, pfn: usize, rcu: &rcu::Guard) -> Option<*mut c::page> {
        if pfn & !(PAGES - 1) != self.first {
            self.go_to(pfn, rcu);
        }
        if self.is_online() {
            // All pages of the section are there.
            return Some(self.pages.wrapping_add(pfn));
        }
        Self::ask_for(pfn)
    }

    /// The number of the first page behind the section around a page, if that is offline or no
    /// memory at all.
    #[inline]
    pub(super) fn offline_until(&mut self, pfn: usize, rcu: &rcu::Guard) -> Option<usize> {
        if pfn & !(PAGES - 1) != self.first {
            self.go_to(pfn, rcu);
        }
        // SAFETY: Any number may be asked for.
        if self.is_online() || unsafe { bindings::damon_rs_helper_section_is_online(pfn) } {
            return None;
        }
        Some((pfn | (PAGES - 1)).saturating_add(1))
    }

    /// Finds another section.
    #[inline(never)]
    fn go_to(&mut self, pfn: usize, _rcu: &rcu::Guard) {
        // INVARIANT: The helper sees whether it is whole.
        self.first = pfn & !(PAGES - 1);
        #[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
        {
            // SAFETY: Any number may be asked for. RCU keeps what tells which parts there are.
            self.section = unsafe { bindings::damon_rs_helper_whole_section(pfn) };
        }
    }

    /// Whether all pages of the section are there and in use.
    #[inline]
    fn is_online(&self) -> bool {
        #[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
        let online = !self.section.is_null() && {
            // SAFETY: By the type invariants there is a section. The word is read at once; others
            // may change it.
            let word = unsafe { (&raw const (*self.section).section_mem_map).read_volatile() };
            word & (ONLINE | DEVICE) == ONLINE
        };
        #[cfg(not(CONFIG_SPARSEMEM_VMEMMAP))]
        let online = false;
        online
    }

    /// As the kernel tells it, for any page.
    #[inline(never)]
    fn ask_for(pfn: usize) -> Option<*mut c::page> {
        // SAFETY: Any number may be asked for.
        let page = unsafe { bindings::damon_rs_helper_pfn_to_online_page(pfn) };
        (!page.is_null()).then_some(page)
    }
}

#[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
const ONLINE: usize = 1 << c::SECTION_IS_ONLINE_BIT;

/// Parts of it are a device's memory.
#[cfg(all(CONFIG_SPARSEMEM_VMEMMAP, CONFIG_ZONE_DEVICE))]
const DEVICE: usize = 1 << c::SECTION_TAINT_ZONE_DEVICE_BIT;
#[cfg(all(CONFIG_SPARSEMEM_VMEMMAP, not(CONFIG_ZONE_DEVICE)))]
const DEVICE: usize = 0;
