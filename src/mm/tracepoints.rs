// SPDX-License-Identifier: GPL-2.0

//! The C side of the trace events, `src/trace/`.
//!
//! A tracepoint can be defined in C only; what is here takes plain values, so that the rest of the
//! module calls it without unsafe code.

pub(crate) use crate::bindings::{
    damon_rs_trace_region as TraceRegion,
    damon_rs_trace_stat as TraceStat, //
};

use crate::bindings;

/// Whether somebody listens to `damon_aggregated` or `damon_region_aggregated`.
pub(crate) fn aggregated_enabled() -> bool {
    // SAFETY: May be called in any context.
    unsafe { bindings::damon_rs_trace_aggregated_enabled() }
}

/// Emits `damon_monitor_intervals_tune`, if somebody listens.
pub(crate) fn tuned(sample_us: usize) {
    // SAFETY: May be called in any context.
    unsafe { bindings::damon_rs_trace_tuned(sample_us) };
}

/// Emits both events for a region, as far as somebody listens.
pub(crate) fn aggregated(target: u32, nr_regions: u32, nr_probes: u32, region: &TraceRegion) {
    // SAFETY: May be called in any context. The region is only read, and only during the call; more
    // probes than it has counts of are not reported.
    unsafe { bindings::damon_rs_trace_aggregated(target, nr_regions, nr_probes, region) };
}

/// Whether somebody listens to `damos_before_apply`.
pub(crate) fn before_apply_enabled() -> bool {
    // SAFETY: May be called in any context.
    unsafe { bindings::damon_rs_trace_before_apply_enabled() }
}

/// Emits `damos_before_apply`, if somebody listens.
pub(crate) fn before_apply(scheme: u32, target: u32, region: &TraceRegion, nr_regions: u32) {
    // SAFETY: May be called in any context. The region is only read, and only during the call.
    unsafe { bindings::damon_rs_trace_before_apply(scheme, target, region, nr_regions) };
}

/// Emits `damos_esz`, if somebody listens.
pub(crate) fn effective_quota(scheme: u32, effective: usize) {
    // SAFETY: May be called in any context.
    unsafe { bindings::damon_rs_trace_esz(scheme, effective) };
}

/// Whether somebody listens to `damos_stat_after_apply_interval`.
pub(crate) fn stat_enabled() -> bool {
    // SAFETY: May be called in any context.
    unsafe { bindings::damon_rs_trace_stat_enabled() }
}

/// Emits `damos_stat_after_apply_interval`, if somebody listens.
pub(crate) fn stat(scheme: u32, stat: &TraceStat) {
    // SAFETY: May be called in any context. The counts are only read, and only during the call.
    unsafe { bindings::damon_rs_trace_stat(scheme, stat) };
}
