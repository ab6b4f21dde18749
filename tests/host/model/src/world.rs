// SPDX-License-Identifier: GPL-2.0

//! What kdamonds and callers are busy with: a small context, and requests that say what became of
//! them.

use crate::engine::{
    self,
    AccessPattern,
    Action,
    AddrRange,
    Attrs,
    AttrsParams,
    Events,
    Micros,
    Operations,
    Pass,
    Probes,
    Region,
    SchemeParams,
    SystemMetrics,
    TargetParams,
    Tried,
    Walker, //
};
use kernel::prelude::*;
use std::sync::{
    atomic::{
        AtomicU32,
        Ordering::Relaxed, //
    },
    Arc,
};

/// A memory in which nothing happens.
pub(crate) struct Quiet {
    /// How often its existence can be asked for before it is gone.
    looks: AtomicU32,
    min_region_sz: u64,
}

impl Operations for Quiet {
    type Space = ();

    fn min_region_sz(&self) -> u64 {
        self.min_region_sz
    }

    fn ranges(&mut self, (): &()) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    fn memory(&self, (): &()) -> Option<usize> {
        None
    }

    fn sample(&mut self, (): &(), _: &mut [Region], _: &mut Pass<'_>) {}

    fn is_valid(&self, (): &()) -> bool {
        let left = |looks: u32| looks.checked_sub(1);
        self.looks.fetch_update(Relaxed, Relaxed, left).is_ok()
    }
}

/// Nobody listens.
pub(crate) struct TraceEvents;

impl Events for TraceEvents {
    fn aggregated_enabled(&self) -> bool {
        false
    }

    fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {}

    fn tuned(&mut self, _: Micros) {}
}

/// Nothing to see, and no time passes.
pub(crate) struct KernelMetrics;

impl SystemMetrics for KernelMetrics {
    fn now_ns(&self) -> u64 {
        0
    }

    fn free_mem_permil(&self) -> Result<u32> {
        Err(ENODEV)
    }

    fn some_mem_psi_us(&self) -> Result<u64> {
        Err(ENODEV)
    }

    fn node_mem_used_bp(&self, _: i32) -> Option<u64> {
        Some(0)
    }

    fn node_mem_free_bp(&self, _: i32) -> Option<u64> {
        Some(0)
    }

    fn node_memcg_used_bp(&self, _: i32, _: u64) -> Option<u64> {
        Some(0)
    }

    fn node_memcg_free_bp(&self, _: i32, _: u64) -> Option<u64> {
        Some(0)
    }

    fn active_mem_bp(&self) -> Option<u64> {
        Some(0)
    }

    fn inactive_mem_bp(&self) -> Option<u64> {
        Some(0)
    }
}

/// The context of a kdamond.
pub(crate) type Context = engine::Context<Quiet>;

/// What a context is made of.
pub(crate) type Params = engine::Params<Quiet>;

/// Parameters as the scenarios want them.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Whether it is paused.
    pub(crate) pause: bool,
    /// After how many looks at it the only target is gone.
    pub(crate) looks: u32,
    /// Whether a context can be made of it.
    pub(crate) valid: bool,
}

/// A kdamond that works until it is stopped.
pub(crate) const WORKING: Wanted = Wanted {
    pause: false,
    looks: u32::MAX,
    valid: true,
};

/// Three regions and one scheme for all of them, which is applied at every tick.
pub(crate) fn params(wanted: Wanted) -> Result<Params> {
    let mut regions = KVec::new();
    regions.push(AddrRange { start: 0, end: 3 }, GFP_KERNEL)?;
    let mut targets = KVec::new();
    let target = TargetParams {
        space: (),
        obsolete: false,
        regions,
    };
    targets.push(target, GFP_KERNEL)?;
    let mut schemes = KVec::new();
    schemes.push(
        SchemeParams::new(AccessPattern::ANY, Action::Stat),
        GFP_KERNEL,
    )?;
    Ok(Params {
        ops: Quiet {
            looks: AtomicU32::new(wanted.looks),
            // One that is no power of two is refused.
            min_region_sz: if wanted.valid { 1 } else { 3 },
        },
        attrs: Attrs::try_from(AttrsParams {
            sample: Micros(1),
            aggr: Micros(1),
            min_nr_regions: 3,
            max_nr_regions: 3,
            ..AttrsParams::default()
        })?,
        probes: Probes::default(),
        pause: wanted.pause,
        targets,
        schemes,
    })
}

/// What became of a request.
#[derive(Clone, Default)]
pub(crate) struct Fate(Arc<(AtomicU32, AtomicU32)>);

impl Fate {
    /// How often it was served.
    pub(crate) fn times_served(&self) -> u32 {
        self.0 .0.load(Relaxed)
    }

    /// How often it was dropped.
    pub(crate) fn times_dropped(&self) -> u32 {
        self.0 .1.load(Relaxed)
    }

    /// The request. One for each fate.
    pub(crate) fn request(&self) -> Request {
        Request(self.clone())
    }
}

/// What goes with a request, and is dropped with it.
pub(crate) struct Request(Fate);

impl Request {
    /// Notes that it is served.
    pub(crate) fn serve(&self) {
        self.0 .0 .0.fetch_add(1, Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0 .0 .1.fetch_add(1, Relaxed);
    }
}

/// Counts what it is shown.
pub(crate) struct Witness {
    pub(crate) number: u32,
    pub(crate) seen: u32,
    pub(crate) request: Request,
}

impl Walker for Witness {
    fn visit(&mut self, _: &Tried<'_>) {
        self.seen += 1;
        self.request.serve();
    }
}
