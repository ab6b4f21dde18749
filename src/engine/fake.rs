// SPDX-License-Identifier: GPL-2.0

//! A fake address space, trace event sink and system for the unit tests of this layer.

use super::{
    attrs::{
        Attrs,
        AttrsParams,
        Micros, //
    },
    context::Context,
    events::Events,
    metrics::SystemMetrics,
    operations::{
        Attempt,
        Eligible,
        Operations,
        Pass,
        PassKind, //
    },
    params::{
        Params,
        TargetParams, //
    },
    pattern::{
        Action,
        Applied, //
    },
    probe::{
        PageAttributes,
        Probes, //
    },
    regions::region::{
        AddrRange,
        Region, //
    },
    scheme::SchemeParams, //
};
use core::cell::Cell;
use kernel::prelude::*;

/// Operations on a fake address space that is accessed all the time or not at all.
pub(crate) struct Fake {
    pub(crate) min_region_sz: u64,
    pub(crate) covers: Option<AddrRange>,
    /// All actions are supported and take effect on all memory.
    pub(crate) works: bool,
    /// Memory that is accessed is not monitored.
    pub(crate) idle_only: bool,
    /// The ranges that actions were applied to.
    pub(crate) applied: KVec<(u64, u64)>,
}

impl Operations for Fake {
    /// `true` if the memory is accessed all the time.
    type Space = bool;

    fn min_region_sz(&self) -> u64 {
        self.min_region_sz
    }

    fn monitors(&self, hot: &bool) -> bool {
        !(self.idle_only && *hot)
    }

    fn ranges(&mut self, _hot: &bool) -> Result<Option<KVec<AddrRange>>> {
        let mut ranges = KVec::new();
        if let Some(range) = self.covers {
            ranges.push(range, GFP_KERNEL)?;
        }
        Ok((!ranges.is_empty()).then_some(ranges))
    }

    /// Targets that are accessed have one memory, and the other targets have another one.
    fn memory(&self, hot: &bool) -> Option<usize> {
        Some(usize::from(*hot))
    }

    fn sample(&mut self, hot: &bool, regions: &mut [Region], pass: &mut Pass<'_>) {
        for region in regions {
            if pass.probes() && region.sample().is_some() {
                pass.probe(region, Some(&FakePage));
            }
            if pass.checks() {
                pass.record(region, *hot);
            }
            if pass.prepares() {
                pass.pick(region);
            }
        }
    }

    fn is_valid(&self, _hot: &bool) -> bool {
        true
    }

    fn same_space(&self, hot: &bool, _old: &Self, old_hot: &bool) -> bool {
        hot == old_hot
    }

    /// Half of the memory is on node 1.
    fn eligible(&mut self, _hot: &bool, region: &Region, nid: i32) -> Eligible {
        Eligible {
            bytes: region.size(),
            on_node: if nid == 1 { region.size() / 2 } else { 0 },
        }
    }

    fn supports(&self, action: Action) -> bool {
        self.works || action == Action::Stat
    }

    fn apply(&mut self, _hot: &bool, region: &Region, attempt: Attempt<'_>) -> Applied {
        if !self.works || attempt.scheme.action == Action::Stat {
            return Applied::default();
        }
        let _ = self
            .applied
            .push((region.start(), region.end()), GFP_KERNEL);
        Applied {
            bytes: region.size(),
            filter_passed: region.size(),
        }
    }
}

/// A page of the fake memory: anonymous, and charged to no memory cgroup.
struct FakePage;

impl PageAttributes for FakePage {
    fn is_anon(&self) -> bool {
        true
    }

    fn memcg(&self) -> Option<u64> {
        None
    }
}

impl Context<Fake> {
    /// Passes sampling intervals in which only access checks are due.
    pub(crate) fn samples(&mut self, times: u32) {
        for _ in 0..times {
            self.pass();
            self.sample(PassKind::CheckAndPrepare);
        }
    }
}

/// A sink without listeners.
pub(crate) struct NoEvents;

impl Events for NoEvents {
    fn aggregated_enabled(&self) -> bool {
        false
    }

    fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {}

    fn tuned(&mut self, _: Micros) {}
}

/// System metrics that are set by the tests.
#[derive(Default)]
pub(crate) struct FakeMetrics {
    pub(crate) now_ns: Cell<u64>,
    /// `None` if the metric is not available.
    pub(crate) free_mem_permil: Cell<Option<u32>>,
    pub(crate) some_mem_psi_us: Cell<Option<u64>>,
    /// The value of all other metrics. `None` if they are not available.
    pub(crate) metric: Cell<Option<u64>>,
}

impl SystemMetrics for FakeMetrics {
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn free_mem_permil(&self) -> Result<u32> {
        self.free_mem_permil.get().ok_or(ENODEV)
    }

    fn some_mem_psi_us(&self) -> Result<u64> {
        self.some_mem_psi_us.get().ok_or(ENODEV)
    }

    fn node_mem_used_bp(&self, _nid: i32) -> Option<u64> {
        self.metric.get()
    }

    fn node_mem_free_bp(&self, _nid: i32) -> Option<u64> {
        self.metric.get()
    }

    fn node_memcg_used_bp(&self, _nid: i32, _memcg: u64) -> Option<u64> {
        self.metric.get()
    }

    fn node_memcg_free_bp(&self, _nid: i32, _memcg: u64) -> Option<u64> {
        self.metric.get()
    }

    fn active_mem_bp(&self) -> Option<u64> {
        self.metric.get()
    }

    fn inactive_mem_bp(&self) -> Option<u64> {
        self.metric.get()
    }
}

/// Returns parameters for targets with the given ranges and `min_region_sz`. Every second target is
/// accessed all the time, the first one is idle.
pub(crate) fn params(targets: &[&[(u64, u64)]], min_region_sz: u64) -> Result<Params<Fake>> {
    let mut list = KVec::with_capacity(targets.len(), GFP_KERNEL)?;
    let mut space = false;
    for ranges in targets {
        let mut regions = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
        for &(start, end) in *ranges {
            regions.push_within_capacity(AddrRange { start, end })?;
        }
        list.push_within_capacity(TargetParams {
            space,
            obsolete: false,
            regions,
        })?;
        space = !space;
    }
    Ok(Params {
        ops: Fake {
            min_region_sz,
            covers: None,
            works: false,
            idle_only: false,
            applied: KVec::new(),
        },
        attrs: Attrs::try_from(AttrsParams::default())?,
        probes: Probes::default(),
        pause: false,
        targets: list,
        schemes: KVec::new(),
    })
}

/// Returns the parameters with one more scheme.
pub(crate) fn with_scheme(mut params: Params<Fake>, scheme: SchemeParams) -> Result<Params<Fake>> {
    params.schemes.push(scheme, GFP_KERNEL)?;
    Ok(params)
}
