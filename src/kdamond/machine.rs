// SPDX-License-Identifier: GPL-2.0

//! The machine that this kernel runs on, as schemes see it.

use super::thread::bell;
use crate::engine::Machine;
use kernel::prelude::*;

/// What there is to know of it.
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    fn now_ns(&self) -> u64 {
        bell::now().as_nanos()
    }

    fn free_mem_permil(&self) -> Result<u32> {
        Err(ENODEV)
    }

    fn some_mem_psi_us(&self) -> Result<u64> {
        Err(ENODEV)
    }

    fn node_mem_used_bp(&self, _nid: i32) -> u64 {
        0
    }

    fn node_mem_free_bp(&self, _nid: i32) -> u64 {
        10_000
    }

    fn node_memcg_used_bp(&self, _nid: i32, _memcg: u64) -> u64 {
        0
    }

    fn node_memcg_free_bp(&self, _nid: i32, _memcg: u64) -> u64 {
        10_000
    }

    fn active_mem_bp(&self) -> u64 {
        0
    }

    fn inactive_mem_bp(&self) -> u64 {
        0
    }
}
