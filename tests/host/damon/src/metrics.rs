// SPDX-License-Identifier: GPL-2.0

//! A machine whose state the tests set.

use crate::{
    engine::SystemMetrics,
    thread::wakeup, //
};
use kernel::prelude::*;
use std::sync::{
    atomic::{
        AtomicU32,
        AtomicU64,
        Ordering::Relaxed, //
    },
    Arc,
};

/// What the machine shows.
#[derive(Default)]
pub(crate) struct Shows {
    /// Time that has passed beside that of the wakeup's clock.
    pub(crate) passed_ns: AtomicU64,
    /// Free memory. More than a thousand thousandths cannot be had.
    pub(crate) free_mem_permil: AtomicU32,
    /// Time that tasks have waited for memory.
    pub(crate) some_mem_psi_us: AtomicU64,
    /// What all other metrics are.
    pub(crate) metric: AtomicU64,
}

/// A machine. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct FakeMetrics(pub(crate) Arc<Shows>);

impl SystemMetrics for FakeMetrics {
    fn now_ns(&self) -> u64 {
        let passed = self.0.passed_ns.load(Relaxed);
        wakeup::now().as_nanos().saturating_add(passed)
    }

    fn free_mem_permil(&self) -> Result<u32> {
        let permil = self.0.free_mem_permil.load(Relaxed);
        Some(permil).filter(|permil| *permil <= 1000).ok_or(ENODEV)
    }

    fn some_mem_psi_us(&self) -> Result<u64> {
        Ok(self.0.some_mem_psi_us.load(Relaxed))
    }

    fn node_mem_used_bp(&self, _: i32) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }

    fn node_mem_free_bp(&self, _: i32) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }

    fn node_memcg_used_bp(&self, _: i32, _: u64) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }

    fn node_memcg_free_bp(&self, _: i32, _: u64) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }

    fn active_mem_bp(&self) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }

    fn inactive_mem_bp(&self) -> Option<u64> {
        Some(self.0.metric.load(Relaxed))
    }
}
