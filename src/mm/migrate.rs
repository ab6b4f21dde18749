// SPDX-License-Identifier: GPL-2.0

//! Migration of folios to another node.
//!
//! C headers: [`include/linux/migrate.h`](srctree/include/linux/migrate.h),
//! [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h)

use kernel::{
    bindings as c,
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    },
    types::NotThreadSafe, //
};

use super::{
    isolated::{
        Isolated,
        IsolatedFolios, //
    },
    node::Node,
    symbols::{
        self,
        Migration, //
    },
    Folio, //
};
use crate::{
    bindings,
    cast::PAGE_SIZE, //
};

/// Returns whether the kernel functions for migration were found.
pub(crate) fn can_migrate() -> bool {
    symbols::migration().is_some() && symbols::isolation().is_some()
}

/// Isolated folios that are to be migrated to a node. Folios that remain are put back on their LRU
/// lists on drop.
///
/// # Invariants
///
/// Each folio is counted in `NR_ISOLATED_ANON` or `NR_ISOLATED_FILE` of its node.
pub(crate) struct MigrationList {
    calls: &'static Migration,
    folios: IsolatedFolios,
    to: Node,
}

impl MigrationList {
    /// Creates an empty list. Returns `None` if the kernel functions for it were not found.
    pub(crate) fn new(to: Node) -> Option<Self> {
        // INVARIANT: The list is empty.
        Some(Self {
            calls: symbols::migration()?,
            folios: IsolatedFolios::new()?,
            to,
        })
    }

    /// Isolates a folio and adds it. Does nothing if the folio is on the target node, or if it
    /// cannot be isolated. Does not sleep.
    pub(crate) fn add(&mut self, folio: &Folio) {
        if !folio.is_on(self.to) {
            if let Some(isolated) = self.folios.isolate(folio) {
                self.push(isolated);
            }
        }
    }

    /// Like [`Self::add`], for a folio that is kept by other means than a [`Folio`].
    ///
    /// # Safety
    ///
    /// The safety requirements of [`Isolated::new`] must be met.
    pub(super) unsafe fn add_ptr(&mut self, folio: *mut c::folio) {
        // SAFETY: By the safety requirements the folio is valid.
        if unsafe { Node::of(folio) } == self.to {
            return;
        }
        // SAFETY: By the safety requirements, which are those of `isolate_ptr()`, the folio is
        // valid and referenced, and no LRU lock is held.
        if let Some(isolated) = unsafe { self.folios.isolate_ptr(folio) } {
            self.push(isolated);
        }
    }

    fn push(&mut self, isolated: Isolated) {
        // INVARIANT: The folio is counted here.
        count(&isolated, 1);
        self.folios.push(isolated);
    }

    /// Returns the number of folios in the list.
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// Migrates the folios of the list and returns the number of bytes that were migrated. The list
    /// is empty afterwards: folios that could not be migrated are put back on their LRU lists.
    ///
    /// Does not wait for locks of folios or for writeback (`MIGRATE_ASYNC`), but sleeps. The caller
    /// must hold no lock.
    pub(crate) fn migrate(&mut self) -> u64 {
        let mut pages: c_uint = 0;
        if self.len() != 0 {
            let _no_reclaim = NoReclaim::enter();
            // SAFETY: `migrate_pages()` drops the isolation reference of each folio that it
            // migrates. It leaves the others on the list, isolated and with their reference. If it
            // splits a folio, `lru_add_split_folio()` adds each part to the list with a reference.
            // It calls `allocate()` only before it returns, with an isolated folio and the node ID.
            // It does not use the list after that.
            unsafe {
                self.folios.as_list(|list| {
                    self.calls.migrate_pages(
                        list,
                        Some(allocate),
                        None,
                        // CAST: Node IDs are not negative.
                        self.to.nid() as c_ulong,
                        c::migrate_mode_MIGRATE_ASYNC,
                        // CAST: A small number, which fits whether the type is signed or not.
                        c::migrate_reason_MR_DAMON as bindings::damon_rs_migrate_reason,
                        &mut pages,
                    );
                });
            }
        }
        // INVARIANT: `migrate_pages()` has subtracted the folios that it has migrated
        // (`migrate_folio_done()`). `put_back()` subtracts the others. The parts of a folio that
        // was split have as many pages as the folio, on the same node and of the same type.
        self.put_back();
        u64::from(pages).saturating_mul(PAGE_SIZE)
    }

    fn put_back(&mut self) {
        while let Some(isolated) = self.folios.pop() {
            count(&isolated, -1);
        }
    }
}

impl Drop for MigrationList {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// Adds the pages of a folio to the number of isolated pages of its node (`sign` 1), or subtracts
/// them (-1).
fn count(isolated: &Isolated, sign: isize) {
    let folio = isolated.as_ptr();
    // SAFETY: By the invariants of `Isolated` the folio is valid. Its reference keeps it from being
    // split by another thread.
    unsafe {
        // CAST: The number of pages of a folio is far below `isize::MAX`.
        let pages = bindings::damon_rs_helper_folio_nr_pages(folio) as isize;
        bindings::damon_rs_helper_folio_count_isolated(folio, pages.wrapping_mul(sign));
    }
}

/// Allocates the folio that a folio is migrated to. Returns null if the node has no free memory for
/// it.
///
/// # Safety
///
/// Must be called by `migrate_pages()` only, with an isolated folio and the ID of a node.
unsafe extern "C" fn allocate(src: *mut c::folio, nid: c_ulong) -> *mut c::folio {
    // CAST: This is the node ID, which fits into a `c_int`, that was passed to `migrate_pages()`.
    // SAFETY: By the safety requirements `src` is valid and `nid` is the ID of a node.
    unsafe { bindings::damon_rs_helper_folio_alloc_like(src, nid as c_int) }
}

/// A section in which allocations of the current thread do not enter direct reclaim.
///
/// # Invariants
///
/// `flags` was returned by `memalloc_noreclaim_save()` on this thread.
struct NoReclaim {
    flags: c_uint,
    _thread: NotThreadSafe,
}

impl NoReclaim {
    fn enter() -> Self {
        // INVARIANT: `flags` is returned by `memalloc_noreclaim_save()`, and the value is `!Send`.
        Self {
            // SAFETY: This sets a flag of the current thread, and has no preconditions.
            flags: unsafe { bindings::damon_rs_helper_memalloc_noreclaim_save() },
            _thread: NotThreadSafe,
        }
    }
}

impl Drop for NoReclaim {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `flags` was returned by `memalloc_noreclaim_save()` on
        // this thread.
        unsafe { bindings::damon_rs_helper_memalloc_noreclaim_restore(self.flags) };
    }
}
