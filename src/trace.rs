// SPDX-License-Identifier: GPL-2.0

//! Trace events for the engine.
//!
//! The events have the names and fields of the in-tree DAMON. Their system is `damon` on a kernel
//! without the in-tree DAMON, and `damon_rs` on a kernel with it.

use crate::{
    cast::to_usize,
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
                start: to_usize(region.start()),
                end: to_usize(region.end()),
                nr_accesses: region.last_nr_accesses(),
                age: region.age(),
                probe_hits: *region.last_probe_hits(),
            },
        );
    }

    fn tuned(&mut self, sample: Micros) {
        tracepoints::tuned(to_usize(sample.0));
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
        nr_accesses: u32,
        hits: &ProbeHits,
    ) {
        tracepoints::before_apply(
            saturate(scheme),
            saturate(target),
            &TraceRegion {
                start: to_usize(region.start()),
                end: to_usize(region.end()),
                nr_accesses,
                age: region.age(),
                probe_hits: *hits,
            },
            saturate(nr_regions),
        );
    }

    fn effective_quota(&mut self, scheme: usize, effective: u64) {
        tracepoints::effective_quota(saturate(scheme), to_usize(effective));
    }

    fn after_interval(&mut self, scheme: usize, stat: &Stat) {
        if !tracepoints::stat_enabled() {
            return;
        }
        tracepoints::stat(
            saturate(scheme),
            &TraceStat {
                nr_tried: to_usize(stat.nr_tried),
                sz_tried: to_usize(stat.sz_tried),
                nr_applied: to_usize(stat.nr_applied),
                sz_applied: to_usize(stat.sz_applied),
                sz_ops_filter_passed: to_usize(stat.sz_ops_filter_passed),
                qt_exceeds: to_usize(stat.qt_exceeds),
                nr_snapshots: to_usize(stat.nr_snapshots),
            },
        );
    }
}
