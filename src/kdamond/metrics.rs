// SPDX-License-Identifier: GPL-2.0

//! The system metrics of the running kernel.

use super::thread::wakeup;
use crate::{
    engine::SystemMetrics,
    mm::metrics, //
};
use kernel::prelude::*;

/// The clock and the metrics of the running kernel.
pub(crate) struct KernelMetrics;

impl SystemMetrics for KernelMetrics {
    fn now_ns(&self) -> u64 {
        wakeup::now().as_nanos()
    }

    fn free_mem_permil(&self) -> Result<u32> {
        Ok(metrics::free_mem_permil())
    }

    fn some_mem_psi_us(&self) -> Result<u64> {
        metrics::some_mem_psi_us()
    }

    fn node_mem_used_bp(&self, nid: i32) -> Option<u64> {
        metrics::node_mem_used_bp(nid)
    }

    fn node_mem_free_bp(&self, nid: i32) -> Option<u64> {
        metrics::node_mem_free_bp(nid)
    }

    fn node_memcg_used_bp(&self, nid: i32, memcg: u64) -> Option<u64> {
        metrics::node_memcg_used_bp(nid, memcg)
    }

    fn node_memcg_free_bp(&self, nid: i32, memcg: u64) -> Option<u64> {
        metrics::node_memcg_free_bp(nid, memcg)
    }

    fn active_mem_bp(&self) -> Option<u64> {
        metrics::active_mem_bp()
    }

    fn inactive_mem_bp(&self) -> Option<u64> {
        metrics::inactive_mem_bp()
    }
}
