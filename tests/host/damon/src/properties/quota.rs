// SPDX-License-Identifier: GPL-2.0

//! What a scheme may do is all that it does.

use super::{
    memory::Memory,
    strategies::{
        filter,
        Limits,
        Wanted,
        WantedScheme, //
    },
};
use crate::{
    engine::{
        AccessPattern,
        Action,
        AttrsParams,
        Context,
        Filter,
        FilterKind,
        Goal,
        GoalMetric,
        Micros,
        Tried,
        Walker, //
    },
    metrics::FakeMetrics, //
};
use proptest::prelude::{
    prop_assert,
    prop_assert_eq,
    proptest, //
};
use std::sync::atomic::Ordering::Relaxed;

const MIN_REGION_SZ: u64 = 16;

/// A context with two targets, and one scheme that is due at each sampling interval.
fn context(limits: Limits, bytes: u64) -> Context<Memory> {
    let wanted = Wanted {
        ops: Memory {
            min_region_sz: MIN_REGION_SZ,
            covers: None,
            hot: (1024, 2048),
        },
        attrs: AttrsParams::default(),
        probes: Vec::new(),
        pause: false,
        targets: vec![
            (0, false, vec![(0, 4096)]),
            (1, false, vec![(512, 1024), (2048, 8192)]),
        ],
        schemes: vec![WantedScheme {
            pattern: AccessPattern::ANY,
            action: Action::Pageout,
            apply_interval: Micros(5_000),
            max_nr_snapshots: 0,
            limits: Limits {
                bytes,
                reset_interval: 1_000_000,
                ..limits
            },
        }],
    };
    let mut context = Context::new(wanted.params().unwrap(), 1).unwrap();
    context.start();
    context.prepare();
    context
}

/// The places that a scheme was tried on.
#[derive(Default)]
struct Places(Vec<(usize, u64, u64)>);

impl Walker for Places {
    fn visit(&mut self, tried: &Tried<'_>) {
        let region = tried.region;
        self.0.push((tried.target, region.start(), region.end()));
    }
}

/// What the scheme is tried on in a sampling tick.
fn tick(context: &mut Context<Memory>, metrics: &FakeMetrics) -> Places {
    let mut places = Places::default();
    context.begin_walk();
    super::tick(context, metrics, Some(&mut places));
    places
}

/// Whether filters of the core layer let an address through, found address by address.
fn passes(filters: &[Filter], target: usize, addr: u64) -> bool {
    let mut pass = true;
    for filter in filters {
        let is = match filter.kind {
            FilterKind::Addr(range) => {
                range.start / MIN_REGION_SZ * MIN_REGION_SZ <= addr
                    && addr < range.end / MIN_REGION_SZ * MIN_REGION_SZ
            }
            FilterKind::Target(index) => index == target,
            _ => unreachable!("the core layer has no others"),
        };
        if is == filter.matching {
            return filter.allow;
        }
        pass = !filter.allow;
    }
    pass
}

proptest! {
    #[test]
    fn a_quota_is_kept_in_every_window(
        bytes in 16u64..6000,
        windows in 1u64..20,
        weights in (0u32..3, 0u32..3),
        num in 0u32..3,
    ) {
        let limits = Limits { weights, fail_charge: (num, 1), ..Limits::default() };
        let (metrics, mut context) = (FakeMetrics::default(), context(limits, bytes));
        for window in 0..windows {
            metrics.0.passed_ns.store(window * 1_000_000_000, Relaxed);
            let mut charged = 0;
            for _ in 0..25 {
                for (_, start, end) in tick(&mut context, &metrics).0 {
                    let (size, done) = (end - start, (end - start) / 2);
                    charged += done + (size - done) * u64::from(num);
                }
                let quota = context.schemes()[0].quota();
                prop_assert_eq!(quota.effective(), bytes);
                prop_assert_eq!(quota.charged(), charged);
                // What fails may be charged more than once.
                prop_assert!(num > 1 || charged <= bytes);
            }
        }
    }

    #[test]
    fn without_an_order_all_memory_has_its_turn(bytes in 256u64..6000) {
        // Memory that is alike in all that counts.
        let limits = Limits { fail_charge: (0, 0), ..Limits::default() };
        let (metrics, mut context) = (FakeMetrics::default(), context(limits, bytes));
        let size: u64 = 4096 + 512 + 6144;
        let mut seen = std::collections::HashSet::new();
        for window in 0..size / (bytes / MIN_REGION_SZ * MIN_REGION_SZ) + 2 {
            metrics.0.passed_ns.store(window * 1_000_000_000, Relaxed);
            for (target, start, end) in tick(&mut context, &metrics).0 {
                let addrs = (start..end).step_by(MIN_REGION_SZ as usize);
                seen.extend(addrs.map(|addr| (target, addr)));
            }
        }
        prop_assert_eq!(seen.len() as u64 * MIN_REGION_SZ, size);
    }

    #[test]
    fn filters_let_through_what_they_say(
        filters in proptest::collection::vec(filter(), 0..4),
        ticks in 1u64..30,
    ) {
        let limits = Limits { filters: filters.clone(), ..Limits::default() };
        let (metrics, mut context) = (FakeMetrics::default(), context(limits, 0));
        for _ in 0..ticks {
            let mut tried = 0;
            for (target, start, end) in tick(&mut context, &metrics).0 {
                for addr in (start..end).step_by(MIN_REGION_SZ as usize) {
                    prop_assert!(passes(&filters, target, addr), "{target} {addr:#x}");
                    tried += MIN_REGION_SZ;
                }
            }
            let first = (0..4096).step_by(16).map(|addr| (0, addr));
            let second = (512..1024).chain(2048..8192).step_by(16).map(|addr| (1, addr));
            let all = first.chain(second);
            let wanted = all.filter(|(target, addr)| passes(&filters, *target, *addr)).count();
            prop_assert_eq!(tried, wanted as u64 * MIN_REGION_SZ);
        }
    }

    #[test]
    fn a_tuned_quota_follows_its_goal(
        target in 1u64..1_000_000,
        efforts in proptest::collection::vec(0u64..2_000_000, 1..60),
        limit in 0u64..100_000,
    ) {
        let goal = |current| Goal { metric: GoalMetric::UserInput(current), target_value: target };
        let goals = vec![goal(0)];
        let (metrics, mut context) = (FakeMetrics::default(), context(Limits { goals, ..Limits::default() }, limit));
        let mut last = None;
        for (window, current) in (0u64..).zip(efforts) {
            metrics.0.passed_ns.store(window * 1_000_000_000, Relaxed);
            let mut list = kernel::prelude::KVec::new();
            list.push(goal(current), kernel::prelude::GFP_KERNEL).unwrap();
            let mut lists = kernel::prelude::KVec::new();
            lists.push(list, kernel::prelude::GFP_KERNEL).unwrap();
            context.commit_goals(lists).unwrap();
            tick(&mut context, &metrics);
            let quota = context.schemes()[0].quota();
            let tuned = quota.tuned_bp();
            prop_assert!(limit == 0 || quota.effective() <= limit);
            // Never so little that it could not grow again, and no more than twice as much at once.
            prop_assert!(tuned >= 10_000);
            if let Some(last) = last {
                let last: u64 = last;
                prop_assert!(tuned <= last.saturating_mul(2));
                let score = u128::from(current) * 10_000 / u128::from(target);
                match score {
                    0..10_000 => prop_assert!(tuned > last),
                    10_000 => prop_assert_eq!(tuned, last),
                    _ => prop_assert!(tuned < last || tuned == 10_000),
                }
            }
            last = Some(tuned);
        }
    }

    #[test]
    fn time_that_stands_still_is_no_time(bytes in 64u64..2000, pauses in proptest::collection::vec(0u64..5_000_000_000, 1..10)) {
        let run = |pauses: &[u64]| {
            let (metrics, mut context) = (FakeMetrics::default(), context(Limits::default(), bytes));
            let mut tried = Vec::new();
            for pause in pauses {
                context.set_paused(true);
                context.rests(&metrics);
                metrics.0.passed_ns.fetch_add(*pause, Relaxed);
                context.set_paused(false);
                context.rests(&metrics);
                for _ in 0..3 {
                    metrics.0.passed_ns.fetch_add(300_000_000, Relaxed);
                    tried.push(tick(&mut context, &metrics).0);
                }
            }
            tried
        };
        let none = vec![0; pauses.len()];
        prop_assert_eq!(run(&pauses), run(&none));
    }
}
