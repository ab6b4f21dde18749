// SPDX-License-Identifier: GPL-2.0

//! The core layer of DAMON: everything that can be decided without touching memory.
//!
//! A [`Context`] holds the targets with their regions, the schemes and all that was learned about
//! them. The caller owns the clock: it calls [`Context::begin_tick`] and [`Context::finish_tick`]
//! after each sampling interval. What is done at a tick, and in which order, is decided here. The
//! operations of an address space are behind [`Operations`], the sink of trace events behind
//! [`Events`], and random numbers follow from one seed. Nothing of the kernel is used but its
//! allocator and error codes, so that the same files run in a program on the host.
//!
//! Every number in here that a user gave may be any 64-bit value, and an overflow in kernel Rust is
//! a kernel BUG. Arithmetic on such numbers is therefore saturating, checked or bounded by a type.

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
mod machine;
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
        Filters, //
    },
    machine::Machine,
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
