// SPDX-License-Identifier: GPL-2.0

//! What quotas, their goals and watermarks have to know of the machine.

use kernel::prelude::*;

/// The clock and the state of the memory.
///
/// Nothing here fails in a way that somebody could mend: where a metric cannot be had, it has the
/// value that the in-tree DAMON gives it then.
pub trait Machine {
    /// A monotonic clock in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Free memory in thousandths of all. Fails where it cannot be had; watermarks are ignored
    /// then.
    fn free_mem_permil(&self) -> Result<u32>;

    /// Microseconds so far in which some task waited for memory. Fails where the kernel does not
    /// count them; they are taken as zero then.
    fn some_mem_psi_us(&self) -> Result<u64>;

    /// Memory of a node in use, in basis points of what it has; 0 if there is no such node.
    fn node_mem_used_bp(&self, nid: i32) -> u64;

    /// Free memory of a node, in basis points of what it has; 10,000 if there is no such node.
    fn node_mem_free_bp(&self, nid: i32) -> u64;

    /// Memory of a node that is used by a control group, in basis points of what the node has; 0
    /// if there is no such node or group.
    fn node_memcg_used_bp(&self, nid: i32, memcg: u64) -> u64;

    /// Memory of a node that is not used by a control group, in basis points of what the node has;
    /// 10,000 if there is no such node or group.
    fn node_memcg_free_bp(&self, nid: i32, memcg: u64) -> u64;

    /// Memory on active LRU lists, in basis points of that on all.
    fn active_mem_bp(&self) -> u64;

    /// Memory on inactive LRU lists, in basis points of that on all.
    fn inactive_mem_bp(&self) -> u64;
}
