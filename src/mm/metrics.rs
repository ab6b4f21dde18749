// SPDX-License-Identifier: GPL-2.0

//! Metrics of the system's memory, for watermarks and quota goals.
//!
//! C headers: [`include/linux/vmstat.h`](srctree/include/linux/vmstat.h),
//! [`include/linux/psi.h`](srctree/include/linux/psi.h),
//! [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use kernel::{
    bindings as c,
    prelude::*, //
};

#[cfg(any(CONFIG_MEMCG, CONFIG_PSI))]
use super::symbols;
use super::Node;
use crate::{
    bindings,
    cast::to_u64, //
};

/// Returns the free memory of the system in thousandths of the total.
pub(crate) fn free_mem_permil() -> u32 {
    // SAFETY: Both helpers only read counters.
    let (free, all) = unsafe {
        (
            bindings::damon_rs_helper_free_pages(),
            bindings::damon_rs_helper_all_pages(),
        )
    };
    let permil = free.saturating_mul(1000).checked_div(all).unwrap_or(0);
    u32::try_from(permil).unwrap_or(u32::MAX)
}

/// Returns the total time, in microseconds since boot, in which some task was stalled on memory
/// (PSI). It stays 0 if PSI was disabled at boot. Fails with `ENODEV` if the kernel has no PSI, or
/// if `psi_system` was not found.
#[cfg(CONFIG_PSI)]
pub(crate) fn some_mem_psi_us() -> Result<u64> {
    let pressure = symbols::pressure().ok_or(ENODEV)?;
    // SAFETY: `psi_system` is the variable of this name, which exists as long as the kernel runs.
    // The helper reads one counter, which may change concurrently.
    let ns = unsafe { bindings::damon_rs_helper_psi_some_mem(pressure.psi_system.as_ptr()) };
    Ok(ns / 1000)
}

#[cfg(not(CONFIG_PSI))]
pub(crate) fn some_mem_psi_us() -> Result<u64> {
    Err(ENODEV)
}

/// The memory of a node, in pages.
struct NodeMemory {
    all: usize,
    free: usize,
}

/// Returns the total and the free memory of a node, which are `MemTotal` and `MemFree` in
/// `/sys/devices/system/node/nodeN/meminfo`. `None` if there is no such node, or if it has no
/// memory.
fn node_memory(nid: i32) -> Option<NodeMemory> {
    let nid = Node::with_memory(nid)?.nid();
    let mut memory = NodeMemory { all: 0, free: 0 };
    for zone in 0..c::zone_type___MAX_NR_ZONES {
        // SAFETY: By the invariants of `Node` the node has a `pg_data_t`. `zone` is below
        // MAX_NR_ZONES; the zone may be empty.
        let (all, free) = unsafe {
            (
                bindings::damon_rs_helper_node_managed_pages(nid, zone),
                bindings::damon_rs_helper_node_free_pages(nid, zone),
            )
        };
        memory.all = memory.all.saturating_add(all);
        memory.free = memory.free.saturating_add(free);
    }
    Some(memory)
}

/// Returns the used memory of a node in basis points of its total, 0 if there is no such node.
pub(crate) fn node_mem_used_bp(nid: i32) -> u64 {
    node_memory(nid).map_or(0, |memory| {
        basis_points(memory.all.saturating_sub(memory.free), memory.all)
    })
}

/// Returns the free memory of a node in basis points of its total, 10,000 if there is no such node.
pub(crate) fn node_mem_free_bp(nid: i32) -> u64 {
    node_memory(nid).map_or(10_000, |memory| basis_points(memory.free, memory.all))
}

/// Returns the memory of a node that a memcg and its descendants use, in basis points of the total
/// of the node. 0 if there is no such node or memcg. Sleeps.
pub(crate) fn node_memcg_used_bp(nid: i32, memcg: u64) -> u64 {
    node_memcg(nid, memcg).map_or(0, |(used, all)| basis_points(used, all))
}

/// Returns the memory of a node that a memcg and its descendants do not use, in basis points of the
/// total of the node. 10,000 if there is no such node or memcg. Sleeps.
pub(crate) fn node_memcg_free_bp(nid: i32, memcg: u64) -> u64 {
    node_memcg(nid, memcg).map_or(10_000, |(used, all)| {
        basis_points(all.saturating_sub(used), all)
    })
}

/// The LRU lists that count as memory usage of a memcg.
#[cfg(CONFIG_MEMCG)]
const LISTS: [c::node_stat_item; 4] = [
    c::node_stat_item_NR_ACTIVE_ANON,
    c::node_stat_item_NR_INACTIVE_ANON,
    c::node_stat_item_NR_ACTIVE_FILE,
    c::node_stat_item_NR_INACTIVE_FILE,
];

/// Returns the number of pages on the LRU lists of a memcg on a node, and the total of the node.
/// `None` if there is no such node or memcg, or if the kernel functions for it were not found.
#[cfg(CONFIG_MEMCG)]
fn node_memcg(nid: i32, memcg: u64) -> Option<(usize, usize)> {
    let node = Node::with_memory(nid)?.nid();
    let all = node_memory(nid)?.all;
    let calls = symbols::memcg_usage()?;
    // SAFETY: The function accepts any ID. It returns null or a memcg with a reference.
    let group = unsafe { calls.mem_cgroup_get_from_id(memcg) };
    if group.is_null() {
        return None;
    }
    // SAFETY: `group` is valid until its reference is dropped at the end of the block. The node has
    // a `pg_data_t`, so `lruvec` is valid as long as the memcg. The thread may sleep.
    let used = unsafe {
        calls.mem_cgroup_flush_stats(group);
        let lruvec = bindings::damon_rs_helper_mem_cgroup_lruvec(group, node);
        let used = LISTS.iter().fold(0, |sum: usize, list| {
            sum.saturating_add(calls.lruvec_page_state(lruvec, *list))
        });
        bindings::damon_rs_helper_mem_cgroup_put(group);
        used
    };
    // The two numbers are not from the same moment.
    Some((used.min(all), all))
}

/// Without `CONFIG_MEMCG` there are no memcgs.
#[cfg(not(CONFIG_MEMCG))]
fn node_memcg(_: i32, _: u64) -> Option<(usize, usize)> {
    None
}

/// Returns the memory on active LRU lists in basis points of that on all active and inactive ones.
pub(crate) fn active_mem_bp() -> u64 {
    lru_share_bp(true)
}

/// Returns the memory on inactive LRU lists in basis points of that on all active and inactive
/// ones.
pub(crate) fn inactive_mem_bp() -> u64 {
    lru_share_bp(false)
}

fn lru_share_bp(active: bool) -> u64 {
    // SAFETY: The helper only reads counters.
    let pages = |active| unsafe { bindings::damon_rs_helper_global_lru_pages(active) };
    basis_points(pages(active), pages(true).saturating_add(pages(false)))
}

/// Returns `part` in basis points of `whole`, 0 if `whole` is 0.
fn basis_points(part: usize, whole: usize) -> u64 {
    let (part, whole) = (to_u64(part), to_u64(whole));
    let Some(share) = part.checked_div(whole) else {
        return 0;
    };
    let rest = part.checked_rem(whole).unwrap_or(0);
    share
        .saturating_mul(10_000)
        .saturating_add(rest.saturating_mul(10_000) / whole.max(1))
}

#[kunit_tests(damon_rs_mm_metrics)]
mod tests {
    use super::*;

    #[test]
    fn basis_points_of_anything() {
        assert_eq!(basis_points(0, 0), 0);
        assert_eq!(basis_points(1, 0), 0);
        assert_eq!(basis_points(1, 3), 3333);
        assert_eq!(basis_points(3, 3), 10_000);
        assert_eq!(basis_points(7, 2), 35_000);
        // Rounded down once, not in two steps.
        assert_eq!(basis_points(19_999, 10_000), 19_999);
    }

    #[test]
    fn what_is_not_there_is_free() {
        for nid in [-1, i32::MIN, i32::MAX] {
            assert_eq!(node_mem_used_bp(nid), 0);
            assert_eq!(node_mem_free_bp(nid), 10_000);
            assert_eq!(node_memcg_used_bp(nid, 1), 0);
            assert_eq!(node_memcg_free_bp(nid, 1), 10_000);
        }
        // 0 is not the ID of any memcg.
        assert_eq!(node_memcg_used_bp(0, 0), 0);
        assert_eq!(node_memcg_free_bp(0, 0), 10_000);
    }

    #[test]
    fn shares_add_up() {
        let near = |sum: u64| (9_900..=10_100).contains(&sum);
        assert!(near(
            node_mem_used_bp(0).saturating_add(node_mem_free_bp(0))
        ));
        assert!(near(active_mem_bp().saturating_add(inactive_mem_bp())));
        assert!((1..1000).contains(&free_mem_permil()));
    }
}
