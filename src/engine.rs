// SPDX-License-Identifier: GPL-2.0

//! The core layer of DAMON: everything that can be decided without touching memory.
//!
//! A [`Context`] holds the targets with their regions, the schemes and the state that was learned
//! about them. The caller owns the clock. It calls [`Context::begin_tick`] and
//! [`Context::finish_tick`] after each sampling interval; this layer decides what is due at a tick,
//! and in which order. The address space is behind [`Operations`], the trace events are behind
//! [`Events`], the system metrics are behind [`SystemMetrics`], and all random numbers follow from
//! one seed. Of the kernel, this layer uses only the allocator, the error codes and `sort()`, so
//! the same files are also compiled for the host.
//!
//! Only one thread uses a context at a time: the kdamond, once the context has been moved into it.
//! Hence nothing in this layer takes a lock.
//!
//! # No panics
//!
//! A panic in kernel Rust is a kernel BUG, and any number from the user may be any 64-bit value.
//! Code in this layer therefore contains no panic at all, and `scripts/panics.py` checks the linked
//! module for references to one. The price is visible in the code:
//!
//! - Arithmetic is saturating or checked, wraps where it is meant to wrap, or is bounded by a type.
//! - Slices are accessed with `get()` and not with an index, even where the index is always valid.
//!   Some `else` branches therefore never run.
//! - A loop that needs the position of an item uses `panic_free::indexed()`. `enumerate()` counts
//!   with an addition that may be compiled with an overflow check.
//! - A vector is allocated with its final capacity and filled with `push_within_capacity()`.

#![deny(unsafe_code)]

mod aggregation;
mod apply;
mod attrs;
mod commit;
mod context;
mod events;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod fake;
mod feedback;
mod filter;
mod metrics;
mod num;
mod operations;
mod params;
mod pattern;
mod pauses;
mod probe;
mod quota;
mod rand;
mod regions;
mod rest;
mod schedule;
mod scheme;
mod sharing;
mod snapshot;
mod tick;
mod tune;
mod watermarks;

pub use self::{
    attrs::{
        Attrs,
        AttrsParams,
        IntervalsGoal,
        Micros,
        MAX_REGIONS, //
    },
    commit::Committed,
    context::{
        Context,
        Target, //
    },
    events::{
        Events,
        Tried,
        Walker, //
    },
    filter::{
        Filter,
        FilterKind,
        FilterType,
        Filters, //
    },
    metrics::SystemMetrics,
    operations::{
        Attempt,
        Eligible,
        Operations,
        Pass, //
    },
    params::{
        Params,
        TargetParams, //
    },
    pattern::{
        AccessPattern,
        Action,
        Applied,
        MinMax, //
    },
    probe::{
        Attribute,
        PageAttributes,
        Probe,
        ProbeFilter,
        Probes, //
    },
    quota::{
        FailCharge,
        Goal,
        GoalMetric,
        QuotaParams,
        QuotaState,
        Tuner,
        Weights, //
    },
    rand::Rng,
    regions::{
        rate::LatestInterval,
        region::{
            AddrRange,
            ProbeHits,
            Region,
            MAX_PROBES, //
        },
        Regions, //
    },
    scheme::{
        Dest,
        Dests,
        Scheme,
        SchemeParams,
        Stat, //
    },
    tick::Tick,
    watermarks::{
        WatermarkMetric,
        Watermarks, //
    }, //
};
