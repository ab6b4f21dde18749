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
/// (PSI). Fails with `ENODEV` if the kernel has no PSI, if PSI is disabled, or if `psi_system` was
/// not found.
#[cfg(CONFIG_PSI)]
pub(crate) fn some_mem_psi_us() -> Result<u64> {
    let pressure = symbols::pressure().ok_or(ENODEV)?;
    let group = pressure.psi_system.as_ptr();
    // SAFETY: `psi_system` is the variable of this name, which exists as long as the kernel runs.
    // The helpers read a flag and a counter, which may change concurrently.
    let (enabled, ns) = unsafe {
        (
            bindings::damon_rs_helper_psi_is_enabled(group),
            bindings::damon_rs_helper_psi_some_mem(group),
        )
    };
    if enabled {
        Ok(ns / 1000)
    } else {
        Err(ENODEV)
    }
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

/// Returns the used memory of a node in basis points of its total. `None` if there is no such node.
pub(crate) fn node_mem_used_bp(nid: i32) -> Option<u64> {
    let memory = node_memory(nid)?;
    basis_points(memory.all.saturating_sub(memory.free), memory.all)
}

/// Returns the free memory of a node in basis points of its total. `None` if there is no such node.
pub(crate) fn node_mem_free_bp(nid: i32) -> Option<u64> {
    let memory = node_memory(nid)?;
    basis_points(memory.free, memory.all)
}

/// Returns the memory of a node that a memcg and its descendants use, in basis points of the total
/// of the node. `None` if there is no such node or memcg. Sleeps.
pub(crate) fn node_memcg_used_bp(nid: i32, memcg: u64) -> Option<u64> {
    let (used, all) = node_memcg(nid, memcg)?;
    basis_points(used, all)
}

/// Returns the memory of a node that a memcg and its descendants do not use, in basis points of the
/// total of the node. `None` if there is no such node or memcg. Sleeps.
pub(crate) fn node_memcg_free_bp(nid: i32, memcg: u64) -> Option<u64> {
    let (used, all) = node_memcg(nid, memcg)?;
    basis_points(all.saturating_sub(used), all)
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
/// `None` if these are all empty.
pub(crate) fn active_mem_bp() -> Option<u64> {
    lru_share_bp(true)
}

/// Returns the memory on inactive LRU lists in basis points of that on all active and inactive
/// ones. `None` if these are all empty.
pub(crate) fn inactive_mem_bp() -> Option<u64> {
    lru_share_bp(false)
}

fn lru_share_bp(active: bool) -> Option<u64> {
    // SAFETY: The helper only reads counters.
    let pages = |active| unsafe { bindings::damon_rs_helper_global_lru_pages(active) };
    basis_points(pages(active), pages(true).saturating_add(pages(false)))
}

/// Returns `part` in basis points of `whole`, `None` if `whole` is 0.
fn basis_points(part: usize, whole: usize) -> Option<u64> {
    let (part, whole) = (to_u64(part), to_u64(whole));
    let share = part.checked_div(whole)?.saturating_mul(10_000);
    let rest = part.checked_rem(whole)?.saturating_mul(10_000);
    Some(share.saturating_add(rest.checked_div(whole)?))
}

#[kunit_tests(damon_rs_mm_metrics)]
mod tests {
    use super::*;

    #[test]
    fn basis_points_of_anything() {
        assert_eq!(basis_points(0, 0), None);
        assert_eq!(basis_points(1, 0), None);
        assert_eq!(basis_points(1, 3), Some(3333));
        assert_eq!(basis_points(3, 3), Some(10_000));
        assert_eq!(basis_points(7, 2), Some(35_000));
        // Rounded down once, not in two steps.
        assert_eq!(basis_points(19_999, 10_000), Some(19_999));
    }

    #[test]
    fn what_is_not_there_has_no_value() {
        for nid in [-1, i32::MIN, i32::MAX] {
            assert_eq!(node_mem_used_bp(nid), None);
            assert_eq!(node_mem_free_bp(nid), None);
            assert_eq!(node_memcg_used_bp(nid, 1), None);
            assert_eq!(node_memcg_free_bp(nid, 1), None);
        }
        // 0 is not the ID of any memcg.
        assert_eq!(node_memcg_used_bp(0, 0), None);
        assert_eq!(node_memcg_free_bp(0, 0), None);
    }

    #[test]
    fn shares_add_up() -> Result {
        let near = |one: Option<u64>, other: Option<u64>| {
            let sum = one.zip(other).map(|(one, other)| one.saturating_add(other));
            sum.is_some_and(|sum| (9_900..=10_100).contains(&sum))
        };
        assert!(near(node_mem_used_bp(0), node_mem_free_bp(0)));
        assert!(near(active_mem_bp(), inactive_mem_bp()));
        assert!((1..1000).contains(&free_mem_permil()));
        Ok(())
    }
}
