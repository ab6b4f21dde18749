// SPDX-License-Identifier: GPL-2.0

//! Calls of the trace events, which are defined in C in `src/trace/`.
//!
//! Tracepoints can only be defined in C. These functions take plain values, so that the rest of the
//! module emits events without unsafe code.

pub(crate) use crate::bindings::{
    damon_rs_trace_region as TraceRegion,
    damon_rs_trace_stat as TraceStat, //
};

use crate::bindings;

/// Returns whether `damon_aggregated` or `damon_region_aggregated` is enabled.
pub(crate) fn aggregated_enabled() -> bool {
    // SAFETY: The function reads static keys, and may be called in any context.
    unsafe { bindings::damon_rs_trace_aggregated_enabled() }
}

/// Emits `damon_monitor_intervals_tune` if it is enabled.
pub(crate) fn tuned(sample_us: usize) {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::damon_rs_trace_tuned(sample_us) };
}

/// Emits `damon_aggregated` and `damon_region_aggregated` for a region, each if it is enabled.
pub(crate) fn aggregated(target: u32, nr_regions: u32, nr_probes: u32, region: &TraceRegion) {
    // SAFETY: `region` is valid during the call, is only read and is not kept. The event reports at
    // most as many probes as the region has counts of.
    unsafe { bindings::damon_rs_trace_aggregated(target, nr_regions, nr_probes, region) };
}

/// Returns whether `damos_before_apply` is enabled.
pub(crate) fn before_apply_enabled() -> bool {
    // SAFETY: The function reads a static key, and may be called in any context.
    unsafe { bindings::damon_rs_trace_before_apply_enabled() }
}

/// Emits `damos_before_apply` if it is enabled.
pub(crate) fn before_apply(scheme: u32, target: u32, region: &TraceRegion, nr_regions: u32) {
    // SAFETY: `region` is valid during the call, is only read and is not kept.
    unsafe { bindings::damon_rs_trace_before_apply(scheme, target, region, nr_regions) };
}

/// Emits `damos_esz` if it is enabled.
pub(crate) fn effective_quota(scheme: u32, effective: usize) {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::damon_rs_trace_esz(scheme, effective) };
}

/// Returns whether `damos_stat_after_apply_interval` is enabled.
pub(crate) fn stat_enabled() -> bool {
    // SAFETY: The function reads a static key, and may be called in any context.
    unsafe { bindings::damon_rs_trace_stat_enabled() }
}

/// Emits `damos_stat_after_apply_interval` if it is enabled.
pub(crate) fn stat(scheme: u32, stat: &TraceStat) {
    // SAFETY: `stat` is valid during the call, is only read and is not kept.
    unsafe { bindings::damon_rs_trace_stat(scheme, stat) };
}
