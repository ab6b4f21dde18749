// SPDX-License-Identifier: GPL-2.0

//! Look-up of `struct page`s by PFN, with a cache of the last memory section.
//!
//! A section is the unit, 128 MiB on x86, in which physical memory has `struct page`s.
//! `pfn_to_online_page()` finds the section of a PFN, checks that it is online, and checks that the
//! subsection of the PFN is present. This is most of the cost of a look at a free page.
//! [`Sections`] caches the section of the last PFN if all its subsections are present. For other
//! PFNs of the section, only the word with the online bit has to be read.
//!
//! # Lifetime of `struct page`s
//!
//! Memory goes offline before it is removed. Only after that, its `struct page`s are poisoned or
//! freed. A `struct page` is accessed in an RCU read-side critical section that has seen the
//! section online. Between the two steps, the notifier of a registered
//! [`Watch`](super::hotplug::Watch) waits for a grace period.
//!
//! The module registers a `Watch` before it can start a kdamond, and unregisters it after the last
//! kdamond has ended. No type enforces that one is registered while `Sections` is used.
//!
//! A memory block may contain its own `struct page`s (`memmap_on_memory`). They are not covered
//! where they fill whole sections. That takes blocks of 8 GiB, and x86 has none.
//!
//! A section that was seen complete is complete whenever it is online: memory goes online in blocks
//! of whole sections without holes.
//!
//! C headers: [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h),
//! [`include/linux/memory_hotplug.h`](srctree/include/linux/memory_hotplug.h)

use kernel::{
    bindings as c,
    sync::rcu, //
};

use crate::bindings;

/// The number of pages in a section.
const PAGES: usize = c::PAGES_PER_SECTION as usize;

/// Looks up `struct page`s by PFN. Look-ups in ascending order are the fastest.
///
/// # Invariants
///
/// If `section` is not null, it is the section of the PFNs from `first` on, and all its subsections
/// were present. The kernel never frees a `mem_section`. `pages` is the start of the array of all
/// `struct page`s.
pub(super) struct Sections {
    first: usize,
    section: *const Section,
    pages: *mut c::page,
}

/// Without `CONFIG_SPARSEMEM_VMEMMAP` there is no array of all `struct page`s, and the kernel is
/// queried for each PFN.
#[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
type Section = c::mem_section;
#[cfg(not(CONFIG_SPARSEMEM_VMEMMAP))]
type Section = core::convert::Infallible;

impl Sections {
    /// Creates an empty cache.
    pub(super) fn new() -> Self {
        // INVARIANT: `section` is null.
        Self {
            // No section starts at this PFN.
            first: usize::MAX,
            section: core::ptr::null(),
            // SAFETY: The helper only computes a constant.
            pages: unsafe { bindings::damon_rs_helper_first_page() },
        }
    }

    /// Returns the `struct page` of a PFN, `None` if that is not online memory. It exists as long
    /// as the RCU read-side critical section of `rcu` lasts, if a `Watch` is registered.
    #[inline(always)]
    pub(super) fn page(&mut self, pfn: usize, rcu: &rcu::Guard) -> Option<*mut c::page> {
        if pfn & !(PAGES - 1) != self.first {
            self.go_to(pfn, rcu);
        }
        if self.is_online() {
            // The section is online, and all its pages are present.
            return Some(self.pages.wrapping_add(pfn));
        }
        Self::ask_for(pfn)
    }

    /// Returns the PFN after the section that contains `pfn`, if the section is offline or has no
    /// memory.
    #[inline]
    pub(super) fn offline_until(&mut self, pfn: usize, rcu: &rcu::Guard) -> Option<usize> {
        if pfn & !(PAGES - 1) != self.first {
            self.go_to(pfn, rcu);
        }
        // SAFETY: The helper accepts any PFN.
        if self.is_online() || unsafe { bindings::damon_rs_helper_section_is_online(pfn) } {
            return None;
        }
        Some((pfn | (PAGES - 1)).saturating_add(1))
    }

    /// Looks up another section.
    #[inline(never)]
    fn go_to(&mut self, pfn: usize, _rcu: &rcu::Guard) {
        // INVARIANT: The helper returns a section only if all its subsections are present.
        self.first = pfn & !(PAGES - 1);
        #[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
        {
            // SAFETY: The helper accepts any PFN. `_rcu` is held, and `usage` of a section is freed
            // by RCU.
            self.section = unsafe { bindings::damon_rs_helper_whole_section(pfn) };
        }
    }

    /// Returns whether the cached section is online and contains no device memory.
    #[inline]
    fn is_online(&self) -> bool {
        #[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
        let online = !self.section.is_null() && {
            // SAFETY: `section` is not null, so by the type invariants it is a `mem_section`. The
            // word may change concurrently; it is read with one aligned load.
            let word = unsafe { (&raw const (*self.section).section_mem_map).read_volatile() };
            word & (ONLINE | DEVICE) == ONLINE
        };
        #[cfg(not(CONFIG_SPARSEMEM_VMEMMAP))]
        let online = false;
        online
    }

    /// The slow path of [`page`](Self::page), with `pfn_to_online_page()`.
    #[inline(never)]
    fn ask_for(pfn: usize) -> Option<*mut c::page> {
        // SAFETY: The function accepts any PFN.
        let page = unsafe { bindings::damon_rs_helper_pfn_to_online_page(pfn) };
        (!page.is_null()).then_some(page)
    }
}

#[cfg(CONFIG_SPARSEMEM_VMEMMAP)]
const ONLINE: usize = 1 << c::SECTION_IS_ONLINE_BIT;

/// Set if a part of the section is device memory.
#[cfg(all(CONFIG_SPARSEMEM_VMEMMAP, CONFIG_ZONE_DEVICE))]
const DEVICE: usize = 1 << c::SECTION_TAINT_ZONE_DEVICE_BIT;
#[cfg(all(CONFIG_SPARSEMEM_VMEMMAP, not(CONFIG_ZONE_DEVICE)))]
const DEVICE: usize = 0;
