// SPDX-License-Identifier: GPL-2.0

//! Trace events for the engine.
//!
//! The events have the names and fields of the in-tree DAMON. Their system is `damon` on a kernel
//! without the in-tree DAMON, and `damon_rs` on a kernel with it.

use crate::{
    engine::{
        Events,
        Micros,
        ProbeHits,
        Region,
        Stat, //
    },
    glue::tracepoints::{
        self,
        TraceRegion,
        TraceStat, //
    }, //
};

/// Emits the events of the engine as trace events. The methods are called on the kdamond.
pub struct TraceEvents;

/// Converts a count to the type of the trace events. Saturates.
fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Converts a 64-bit number to the `unsigned long` of the trace events. Lossless, because the
/// module is built only for 64-bit kernels.
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
                nr_accesses: region.last_nr_accesses(),
                age: region.age(),
                probe_hits: *region.last_probe_hits(),
            },
        );
    }

    fn tuned(&mut self, sample: Micros) {
        tracepoints::tuned(long(sample.0));
    }

    fn before_apply_enabled(&self) -> bool {
        tracepoints::before_apply_enabled()
    }

    fn before_apply(
        &mut self,
        scheme: usize,
        target: usize,
        nr_regions: usize,
        region: &Region,
        hits: &ProbeHits,
    ) {
        tracepoints::before_apply(
            saturate(scheme),
            saturate(target),
            &TraceRegion {
                start: long(region.start()),
                end: long(region.end()),
                // The moving sum, as that is what schemes go by.
                nr_accesses: region.nr_accesses_bp() / 10_000,
                age: region.age(),
                probe_hits: *hits,
            },
            saturate(nr_regions),
        );
    }

    fn effective_quota(&mut self, scheme: usize, effective: u64) {
        tracepoints::effective_quota(saturate(scheme), long(effective));
    }

    fn after_interval(&mut self, scheme: usize, stat: &Stat) {
        if !tracepoints::stat_enabled() {
            return;
        }
        tracepoints::stat(
            saturate(scheme),
            &TraceStat {
                nr_tried: long(stat.nr_tried),
                sz_tried: long(stat.sz_tried),
                nr_applied: long(stat.nr_applied),
                sz_applied: long(stat.sz_applied),
                sz_ops_filter_passed: long(stat.sz_ops_filter_passed),
                qt_exceeds: long(stat.qt_exceeds),
                nr_snapshots: long(stat.nr_snapshots),
            },
        );
    }
}
