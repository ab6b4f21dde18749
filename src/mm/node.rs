// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes and the end of physical memory.
//!
//! C headers: [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h),
//! [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h)

use kernel::{bindings as c, ffi::c_int};

use crate::{
    bindings,
    cast::{
        to_u64,
        PAGE_SIZE, //
    }, //
};

/// A NUMA node.
///
/// # Invariants
///
/// The node with this ID has, or had, memory. Its `pg_data_t` exists: the kernel never frees one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node(c_int);

impl Node {
    /// Returns the node with this ID, `None` if the ID is invalid or if the node has no memory now.
    /// Accepts any number.
    pub(crate) fn with_memory(nid: i32) -> Option<Self> {
        // SAFETY: The helper checks the range of `nid`.
        let has_memory = unsafe { bindings::damon_rs_helper_node_has_memory(nid) };
        // INVARIANT: The node has memory.
        has_memory.then_some(Self(nid))
    }

    /// Returns the node of a folio.
    ///
    /// # Safety
    ///
    /// The folio must be valid.
    pub(super) unsafe fn of(folio: *mut c::folio) -> Self {
        // INVARIANT: A node that has a folio has memory.
        // SAFETY: By the safety requirements of this function the folio is valid.
        Self(unsafe { bindings::damon_rs_helper_folio_nid(folio) })
    }

    /// Returns the node ID.
    pub(super) fn nid(self) -> c_int {
        self.0
    }
}

/// Returns the range of physical addresses that a node spans, as start and exclusive end in bytes.
/// The range may have holes and may contain memory of other nodes. `None` if there is no such node,
/// or if it has no memory now.
pub fn node_addresses(nid: i32) -> Option<(u64, u64)> {
    let Node(nid) = Node::with_memory(nid)?;
    // SAFETY: By the invariants of `Node` this is the ID of a node with a `pg_data_t`.
    let pages = unsafe {
        (
            bindings::damon_rs_helper_node_start_pfn(nid),
            bindings::damon_rs_helper_node_end_pfn(nid),
        )
    };
    let addr = |page: usize| to_u64(page).saturating_mul(PAGE_SIZE);
    Some((addr(pages.0), addr(pages.1)))
}

/// Returns the PFN after the last page of all nodes that are online.
pub(crate) fn end_of_memory() -> usize {
    (0..c_int::try_from(c::MAX_NUMNODES).unwrap_or(1))
        // SAFETY: `nid` is below MAX_NUMNODES, and the helper returns 0 for a node that is not
        // online.
        .map(|nid| unsafe { bindings::damon_rs_helper_node_end_pfn(nid) })
        .max()
        .unwrap_or(0)
}
