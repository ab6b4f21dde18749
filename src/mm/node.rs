// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes, and where physical memory ends.
//!
//! C headers: [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h),
//! [`include/linux/mmzone.h`](srctree/include/linux/mmzone.h)

use kernel::{
    bindings as c,
    ffi::c_int,
    page::PAGE_SIZE, //
};

use crate::bindings;

/// A node of the machine.
///
/// # Invariants
///
/// The number is one that a node has, or had: what describes a node is never freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node(c_int);

impl Node {
    /// The node of this number, `None` if none has it or its node has no memory now. Users may ask
    /// for any number.
    pub(crate) fn with_memory(nid: i32) -> Option<Self> {
        // SAFETY: Any number may be asked for.
        let has_memory = unsafe { bindings::damon_rs_helper_node_has_memory(nid) };
        // INVARIANT: A node with memory is one.
        has_memory.then_some(Self(nid))
    }

    /// The node that a folio is on.
    ///
    /// # Safety
    ///
    /// The folio must be valid.
    pub(super) unsafe fn of(folio: *mut c::folio) -> Self {
        // INVARIANT: Memory is on a node.
        // SAFETY: The caller promises that the folio is valid.
        Self(unsafe { bindings::damon_rs_helper_folio_nid(folio) })
    }

    /// Its number.
    pub(super) fn nid(self) -> c_int {
        self.0
    }
}

/// The addresses from the first byte of a node to behind the last; what is in between need not all be
/// memory of it. `None` if there is no such node, or it has no memory now.
pub fn node_addresses(nid: i32) -> Option<(u64, u64)> {
    let Node(nid) = Node::with_memory(nid)?;
    // SAFETY: A node has this number.
    let pages = unsafe {
        (
            bindings::damon_rs_helper_node_start_pfn(nid),
            bindings::damon_rs_helper_node_end_pfn(nid),
        )
    };
    // CAST: Both have 64 bits.
    let addr = |page: usize| (page as u64).saturating_mul(PAGE_SIZE as u64);
    Some((addr(pages.0), addr(pages.1)))
}

/// The number of the first page behind all memory that is there now.
pub(crate) fn end_of_memory() -> usize {
    (0..c_int::try_from(c::MAX_NUMNODES).unwrap_or(1))
        // SAFETY: Any number below that of all nodes may be asked for.
        .map(|nid| unsafe { bindings::damon_rs_helper_node_end_pfn(nid) })
        .max()
        .unwrap_or(0)
}
