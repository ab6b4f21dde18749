// SPDX-License-Identifier: GPL-2.0

//! Inputs to choose from.

use super::memory::{
    ranges,
    Memory, //
};
use crate::engine::{
    AccessPattern,
    Action,
    AddrRange,
    Attribute,
    Attrs,
    AttrsParams,
    FailCharge,
    Filter,
    FilterKind,
    Filters,
    Goal,
    GoalMetric,
    IntervalsGoal,
    Micros,
    MinMax,
    Params,
    Probe,
    ProbeFilter,
    Probes,
    QuotaParams,
    SchemeParams,
    TargetParams,
    Tuner,
    WatermarkMetric,
    Watermarks,
    Weights, //
};
use kernel::prelude::*;
use proptest::prelude::{
    any,
    prop_oneof,
    Just,
    Strategy, //
};

/// Any 64-bit number, those at which something may happen more often.
pub(super) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..12,
        (0u32..64).prop_map(|shift| 1 << shift),
        (0u32..64).prop_map(|shift| u64::MAX >> shift),
        (0u32..64).prop_map(|shift| u64::MAX << shift),
        any::<u64>(),
    ]
}

/// Any 32-bit number, likewise.
pub(super) fn small_number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..30, any::<u32>(), Just(u32::MAX)]
}

/// Two numbers, mostly the smaller one first.
fn pair() -> impl Strategy<Value = (u64, u64)> {
    let sorted = (number(), number()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![9 => sorted, 1 => (number(), number())]
}

/// Any attributes. Most of them fit together.
pub(super) fn any_attrs() -> impl Strategy<Value = AttrsParams> {
    // An absurd lower limit makes a million regions. That is to be tried, but not all the time.
    let usual = (3u64..300, number()).prop_map(|(min, more)| (min, min.saturating_add(more)));
    let nr_regions = prop_oneof![30 => usual, 1 => pair()];
    let aggrs = prop_oneof![3 => Just(0), 1 => number()];
    (pair(), number(), number(), aggrs, pair(), nr_regions).prop_map(
        |(intervals, ops_update, access_bp, aggrs, goal, nr_regions)| AttrsParams {
            sample: Micros(intervals.0),
            aggr: Micros(intervals.1),
            ops_update: Micros(ops_update),
            goal: IntervalsGoal {
                access_bp,
                aggrs,
                min_sample_us: Micros(goal.0),
                max_sample_us: Micros(goal.1),
            },
            min_nr_regions: nr_regions.0,
            max_nr_regions: nr_regions.1,
        },
    )
}

/// Attributes like those that people use.
pub(super) fn usual_attrs() -> impl Strategy<Value = AttrsParams> {
    let goal = (0u64..3, 0u64..2000, 0u64..5000, 0u64..9000);
    (0u64..5000, 0u64..30, 3u64..20, 0u64..60, goal).prop_map(
        |(sample, samples, min, more, (aggrs, access_bp, shorter, longer))| AttrsParams {
            sample: Micros(sample),
            aggr: Micros(sample * samples.max(1) + samples),
            goal: IntervalsGoal {
                access_bp,
                aggrs,
                min_sample_us: Micros(sample.saturating_sub(shorter)),
                max_sample_us: Micros(sample + longer),
            },
            min_nr_regions: min,
            max_nr_regions: min + more,
            ..AttrsParams::default()
        },
    )
}

/// A probe as the engine wants it: its weight, and filters of it.
pub(super) type WantedProbe = (u32, Vec<(Attribute, bool, bool)>);

/// Any probes. Most have no weight.
pub(super) fn any_probes() -> impl Strategy<Value = Vec<WantedProbe>> {
    let attribute = prop_oneof![Just(Attribute::Anon), (0u64..5).prop_map(Attribute::Memcg)];
    let filters = proptest::collection::vec((attribute, any::<bool>(), any::<bool>()), 0..3);
    let weight = prop_oneof![4 => Just(0), 1 => 0u32..100, 1 => small_number()];
    proptest::collection::vec((weight, filters), 0..=4)
}

/// Ranges that can be, within `0..4096`.
pub(super) fn good_ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    // An even number of ascending multiples of the largest min_region_sz that is in use below.
    proptest::collection::btree_set(0u64..256, 0..10).prop_map(|ends| {
        let ends: Vec<u64> = ends.into_iter().collect();
        ends.chunks_exact(2)
            .map(|pair| (pair[0] * 16, pair[1] * 16))
            .collect()
    })
}

/// Any ranges, few of which can be.
pub(super) fn any_ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop_oneof![
        good_ranges(),
        proptest::collection::vec((number(), number()), 0..4),
        pair().prop_map(|range| vec![range]),
    ]
}

/// A scheme that can be cloned.
#[derive(Clone, Debug)]
pub(super) struct WantedScheme {
    pub(super) pattern: AccessPattern,
    pub(super) action: Action,
    pub(super) apply_interval: Micros,
    pub(super) max_nr_snapshots: u64,
    pub(super) limits: Limits,
}

/// What a scheme may do.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) ms: u64,
    pub(super) bytes: u64,
    pub(super) reset_interval: u64,
    pub(super) goals: Vec<Goal>,
    pub(super) temporal: bool,
    pub(super) fail_charge: (u32, u32),
    pub(super) weights: (u32, u32),
    pub(super) filters: Vec<Filter>,
    pub(super) watermarks: Watermarks,
}

impl WantedScheme {
    pub(super) fn params(&self) -> Result<SchemeParams> {
        let limits = &self.limits;
        let mut goals = KVec::new();
        for goal in &limits.goals {
            goals.push(*goal, GFP_KERNEL)?;
        }
        Ok(SchemeParams {
            apply_interval: self.apply_interval,
            max_nr_snapshots: self.max_nr_snapshots,
            filters: Filters::new(&limits.filters)?,
            quota: QuotaParams {
                ms: limits.ms,
                bytes: limits.bytes,
                reset_interval: Micros(limits.reset_interval),
                goals,
                tuner: match limits.temporal {
                    false => Tuner::Consist,
                    true => Tuner::Temporal,
                },
                fail_charge: FailCharge {
                    num: limits.fail_charge.0,
                    denom: limits.fail_charge.1,
                },
                weights: Weights {
                    sz: 0,
                    nr_accesses: limits.weights.0,
                    age: limits.weights.1,
                },
            },
            watermarks: limits.watermarks,
            ..SchemeParams::new(self.pattern, self.action)
        })
    }
}

fn goal() -> impl Strategy<Value = Goal> {
    let metric = prop_oneof![
        number().prop_map(GoalMetric::UserInput),
        Just(GoalMetric::SomeMemPsiUs),
        Just(GoalMetric::NodeMemFreeBp(0)),
        Just(GoalMetric::ActiveMemBp),
    ];
    let target = number().prop_map(|target| target.max(1));
    (metric, target).prop_map(|(metric, target_value)| Goal {
        metric,
        target_value,
    })
}

/// A filter of the core layer. Most ranges are within a few kilobytes.
pub(super) fn filter() -> impl Strategy<Value = Filter> {
    let kind = prop_oneof![
        pair().prop_map(|(start, end)| FilterKind::Addr(AddrRange { start, end })),
        (0u64..5000, 0u64..3000).prop_map(|(start, len)| {
            let end = start + len;
            FilterKind::Addr(AddrRange { start, end })
        }),
        (0usize..4).prop_map(FilterKind::Target),
    ];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, matching, allow)| Filter {
        kind,
        matching,
        allow,
    })
}

fn watermarks() -> impl Strategy<Value = Watermarks> {
    let metric = prop_oneof![
        3 => Just(WatermarkMetric::None),
        1 => Just(WatermarkMetric::FreeMemRate),
    ];
    (metric, number(), number(), number(), number()).prop_map(
        |(metric, interval, high, mid, low)| Watermarks {
            metric,
            interval: Micros(interval),
            high,
            mid,
            low,
        },
    )
}

/// Any limits; often none.
fn limits() -> impl Strategy<Value = Limits> {
    let few = || prop_oneof![3 => Just(0u64), 1 => 0u64..10_000, 1 => number()];
    let shares = || (small_number(), small_number());
    let goals = prop_oneof![
        2 => Just(Vec::new()),
        1 => proptest::collection::vec(goal(), 0..3),
    ];
    let filters = proptest::collection::vec(filter(), 0..3);
    let quota = (few(), few(), number(), goals, any::<bool>());
    let limits = (quota, shares(), shares(), filters, watermarks()).prop_map(
        |(
            (ms, bytes, reset_interval, goals, temporal),
            fail_charge,
            weights,
            filters,
            watermarks,
        )| {
            Limits {
                ms,
                bytes,
                reset_interval,
                goals,
                temporal,
                fail_charge,
                weights,
                filters,
                watermarks,
            }
        },
    );
    prop_oneof![Just(Limits::default()), limits]
}

/// Any scheme.
pub(super) fn scheme() -> impl Strategy<Value = WantedScheme> {
    let wide = prop_oneof![Just((0, u64::MAX)), (number(), number())];
    let medium = || prop_oneof![Just((0, u32::MAX)), (small_number(), small_number())];
    let action = prop_oneof![Just(Action::Stat), Just(Action::Pageout)];
    (
        wide,
        medium(),
        medium(),
        action,
        number(),
        0u64..4,
        limits(),
    )
        .prop_map(
            |(sz, nr_accesses, age, action, apply_interval, max_nr_snapshots, limits)| {
                WantedScheme {
                    pattern: AccessPattern {
                        sz: MinMax {
                            min: sz.0,
                            max: sz.1,
                        },
                        nr_accesses: MinMax {
                            min: nr_accesses.0,
                            max: nr_accesses.1,
                        },
                        age: MinMax {
                            min: age.0,
                            max: age.1,
                        },
                    },
                    action,
                    apply_interval: Micros(apply_interval),
                    max_nr_snapshots,
                    limits,
                }
            },
        )
}

/// The space of a target, whether it is obsolete, and its ranges.
pub(super) type WantedTarget = (u32, bool, Vec<(u64, u64)>);

/// Parameters that can be cloned, and may or may not be such that a context takes them.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) ops: Memory,
    pub(super) attrs: AttrsParams,
    pub(super) probes: Vec<WantedProbe>,
    pub(super) pause: bool,
    pub(super) targets: Vec<WantedTarget>,
    pub(super) schemes: Vec<WantedScheme>,
}

impl Wanted {
    /// The parameters as the engine wants them.
    pub(super) fn params(&self) -> Result<Params<Memory>> {
        let mut targets = KVec::new();
        for (space, obsolete, list) in &self.targets {
            let target = TargetParams {
                space: *space,
                obsolete: *obsolete,
                regions: ranges(list)?,
            };
            targets.push(target, GFP_KERNEL)?;
        }
        let mut schemes = KVec::new();
        for scheme in &self.schemes {
            schemes.push(scheme.params()?, GFP_KERNEL)?;
        }
        let mut probes = KVec::new();
        for (weight, list) in &self.probes {
            let mut filters = KVec::new();
            for &(attribute, matching, allow) in list {
                let filter = ProbeFilter {
                    attribute,
                    matching,
                    allow,
                };
                filters.push(filter, GFP_KERNEL)?;
            }
            let weight = *weight;
            probes.push(Probe { weight, filters }, GFP_KERNEL)?;
        }
        Ok(Params {
            ops: self.ops.clone(),
            attrs: Attrs::try_from(self.attrs)?,
            probes: Probes::try_from(probes)?,
            pause: self.pause,
            targets,
            schemes,
        })
    }
}

fn wanted(
    min_region_sz: impl Strategy<Value = u64>,
    attrs: impl Strategy<Value = AttrsParams>,
    probes: impl Strategy<Value = Vec<WantedProbe>>,
    ranges: impl Strategy<Value = Vec<(u64, u64)>>,
    covers: impl Strategy<Value = Vec<(u64, u64)>>,
    obsolete: impl Strategy<Value = bool>,
) -> impl Strategy<Value = Wanted> {
    let covers = (any::<bool>(), covers).prop_map(|(some, covers)| some.then_some(covers));
    let ops =
        (min_region_sz, covers, (number(), number())).prop_map(|(min_region_sz, covers, hot)| {
            Memory {
                min_region_sz,
                covers,
                hot,
            }
        });
    let targets = proptest::collection::vec((0u32..5, obsolete, ranges), 0..4);
    let schemes = proptest::collection::vec(scheme(), 0..3);
    (ops, attrs, probes, any::<bool>(), targets, schemes).prop_map(
        |(ops, attrs, probes, pause, targets, schemes)| Wanted {
            ops,
            attrs,
            probes,
            pause,
            targets,
            schemes,
        },
    )
}

/// Parameters with any number anywhere.
pub(super) fn any_wanted() -> impl Strategy<Value = Wanted> {
    let power = (0u32..64).prop_map(|shift| 1 << shift);
    let min_region_sz = prop_oneof![3 => Just(1u64), 3 => Just(4096), 3 => power, 1 => number()];
    let obsolete = proptest::bool::weighted(0.1);
    wanted(
        min_region_sz,
        any_attrs(),
        any_probes(),
        any_ranges(),
        any_ranges(),
        obsolete,
    )
}

/// Parameters that a context takes.
pub(super) fn good_wanted() -> impl Strategy<Value = Wanted> {
    let min_region_sz = (0u32..5).prop_map(|shift| 1 << shift);
    wanted(
        min_region_sz,
        usual_attrs(),
        // At most 60 samples in an aggregation interval: any small weight will do.
        any_probes().prop_map(|mut probes| {
            probes.iter_mut().for_each(|probe| probe.0 %= 100);
            probes
        }),
        good_ranges(),
        good_ranges(),
        Just(false),
    )
}
