// SPDX-License-Identifier: GPL-2.0

//! Moving folios to another node.
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
    page::PAGE_SIZE,
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
use crate::bindings;

/// Whether this kernel lets us move folios.
pub(crate) fn can_migrate() -> bool {
    symbols::migration().is_some() && symbols::isolation().is_some()
}

/// Folios that are to be moved to a node. Those that are not are put back when this is dropped.
///
/// # Invariants
///
/// Each of the folios is counted among the isolated ones of its node.
pub(crate) struct MigrationList {
    calls: &'static Migration,
    folios: IsolatedFolios,
    to: Node,
}

impl MigrationList {
    /// An empty one. `None` if this kernel does not let us migrate.
    pub(crate) fn new(to: Node) -> Option<Self> {
        // INVARIANT: There are no folios.
        Some(Self {
            calls: symbols::migration()?,
            folios: IsolatedFolios::new()?,
            to,
        })
    }

    /// Adds a folio, unless it is on the node or somebody else is at it.
    pub(crate) fn add(&mut self, folio: &Folio) {
        if !folio.is_on(self.to) {
            if let Some(isolated) = self.folios.isolate(folio) {
                self.push(isolated);
            }
        }
    }

    /// As [`Self::add`], for a folio that something else than a [`Folio`] keeps. Does not sleep.
    ///
    /// # Safety
    ///
    /// As for [`Isolated::new`].
    pub(super) unsafe fn add_ptr(&mut self, folio: *mut c::folio) {
        // SAFETY: The caller promises that the folio is valid.
        if unsafe { Node::of(folio) } == self.to {
            return;
        }
        // SAFETY: The caller promises what this function wants.
        if let Some(isolated) = unsafe { self.folios.isolate_ptr(folio) } {
            self.push(isolated);
        }
    }

    fn push(&mut self, isolated: Isolated) {
        // INVARIANT: It is counted.
        count(&isolated, 1);
        self.folios.push(isolated);
    }

    /// How many folios it has.
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// Moves its folios, as far as that can be without waiting for anything, and returns how many
    /// bytes that were. The others are put back.
    ///
    /// Sleeps. No lock may be held.
    pub(crate) fn migrate(&mut self) -> u64 {
        let mut pages: c_uint = 0;
        if self.len() != 0 {
            let _no_reclaim = NoReclaim::enter();
            // SAFETY: The function leaves on the list what it could not move, isolated as before,
            // and takes care of the rest. It calls back only before it returns.
            unsafe {
                self.folios.as_list(|list| {
                    self.calls.migrate_pages(
                        list,
                        Some(allocate),
                        None,
                        // CAST: The same number; nodes are not negative.
                        self.to.nid() as c_ulong,
                        c::migrate_mode_MIGRATE_ASYNC,
                        // CAST: A small number, whether the kernel takes a signed one or not.
                        c::migrate_reason_MR_DAMON as bindings::damon_rs_migrate_reason,
                        &mut pages,
                    );
                });
            }
        }
        // INVARIANT: What was moved is not counted any more, `migrate_pages` has seen to that; nor
        // are the others when they are put back.
        self.put_back();
        // CAST: Both have 64 bits.
        u64::from(pages).saturating_mul(PAGE_SIZE as u64)
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

/// Counts a folio among the isolated ones of its node (`sign` 1), or not any more (-1).
fn count(isolated: &Isolated, sign: isize) {
    let folio = isolated.as_ptr();
    // SAFETY: The folio is isolated, thus valid and of constant size.
    unsafe {
        // CAST: A folio has far less pages than would make a negative number.
        let pages = bindings::damon_rs_helper_folio_nr_pages(folio) as isize;
        bindings::damon_rs_helper_folio_count_isolated(folio, pages.wrapping_mul(sign));
    }
}

/// Allocates the place that a folio is moved to, null if the node has none.
///
/// # Safety
///
/// To be called by `migrate_pages` only, with the number of a node.
unsafe extern "C" fn allocate(src: *mut c::folio, nid: c_ulong) -> *mut c::folio {
    // CAST: This is the number that was handed to `migrate_pages`.
    // SAFETY: The source is an isolated folio, and the node is one.
    unsafe { bindings::damon_rs_helper_folio_alloc_like(src, nid as c_int) }
}

/// While this exists, the current thread does not begin to reclaim when it allocates.
///
/// # Invariants
///
/// `flags` is what `memalloc_noreclaim_save` has returned in this thread.
struct NoReclaim {
    flags: c_uint,
    _thread: NotThreadSafe,
}

impl NoReclaim {
    fn enter() -> Self {
        // INVARIANT: As said.
        Self {
            // SAFETY: This sets a flag of the current thread.
            flags: unsafe { bindings::damon_rs_helper_memalloc_noreclaim_save() },
            _thread: NotThreadSafe,
        }
    }
}

impl Drop for NoReclaim {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this belongs to a call of the other function here.
        unsafe { bindings::damon_rs_helper_memalloc_noreclaim_restore(self.flags) };
    }
}
