// SPDX-License-Identifier: GPL-2.0

//! What the engine has to tell, as trace events.
//!
//! The events are `damon:*` on a kernel without the in-tree DAMON and `damon_rs:*` on one that has
//! it, with the in-tree names and fields.

use crate::{
    engine::{
        Events,
        Micros,
        Region, //
    },
    mm::tracepoints::{
        self,
        TraceRegion, //
    },
};

/// Passes the engine's events on to whoever traces.
pub struct TraceEvents;

/// A count as the trace events hold it: what does not fit is as good as infinite.
fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A 64-bit number as the trace events hold it. The module is built for 64-bit machines.
fn long(address: u64) -> usize {
    usize::try_from(address).unwrap_or(usize::MAX)
}

impl Events for TraceEvents {
    fn aggregated_enabled(&self) -> bool {
        tracepoints::aggregated_enabled()
    }

    fn aggregated(&mut self, target: usize, nr_regions: usize, region: &Region, nr_probes: usize) {
        tracepoints::aggregated(
            saturate(target),
            saturate(nr_regions),
            saturate(nr_probes),
            &TraceRegion {
                start: long(region.start()),
                end: long(region.end()),
                nr_accesses: region.nr_accesses(),
                age: region.age(),
                probe_hits: *region.probe_hits(),
            },
        );
    }

    fn tuned(&mut self, sample: Micros) {
        tracepoints::tuned(long(sample.0));
    }
}
