// SPDX-License-Identifier: GPL-2.0

//! The system metrics that quotas, their goals and watermarks depend on.

use kernel::prelude::*;

/// The clock and the system metrics.
///
/// All methods are called on the kdamond, in process context and without locks held. They may
/// sleep.
///
/// A goal whose metric is not available has no effect on the quota.
pub trait SystemMetrics {
    /// Returns the time of a monotonic clock, in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Returns the free memory in thousandths of the total memory. Fails if the metric is not
    /// available; watermarks are ignored in that case.
    fn free_mem_permil(&self) -> Result<u32>;

    /// Returns the total time in which at least one task was stalled on memory, in microseconds:
    /// the `some` line of the memory PSI. Fails if the kernel does not account it.
    fn some_mem_psi_us(&self) -> Result<u64>;

    /// Returns the used memory of a node in basis points of its total memory; `None` if there is no
    /// node with memory of this ID.
    fn node_mem_used_bp(&self, nid: i32) -> Option<u64>;

    /// Returns the free memory of a node in basis points of its total memory; `None` if there is no
    /// node with memory of this ID.
    fn node_mem_free_bp(&self, nid: i32) -> Option<u64>;

    /// Returns the memory of a node that a memory cgroup uses, in basis points of the node's total
    /// memory; `None` if there is no such node or cgroup. `memcg` is a memcg ID.
    fn node_memcg_used_bp(&self, nid: i32, memcg: u64) -> Option<u64>;

    /// Returns the memory of a node that a memory cgroup does not use, in basis points of the
    /// node's total memory; `None` if there is no such node or cgroup. `memcg` is a memcg ID.
    fn node_memcg_free_bp(&self, nid: i32, memcg: u64) -> Option<u64>;

    /// Returns the memory on active LRU lists in basis points of the memory on all LRU lists;
    /// `None` if they are all empty.
    fn active_mem_bp(&self) -> Option<u64>;

    /// Returns the memory on inactive LRU lists in basis points of the memory on all LRU lists;
    /// `None` if they are all empty.
    fn inactive_mem_bp(&self) -> Option<u64>;
}
