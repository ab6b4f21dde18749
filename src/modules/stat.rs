// SPDX-License-Identifier: GPL-2.0

//! DAMON_STAT: shows the monitoring results of the system in simple metrics.
//!
//! It monitors all System RAM with auto-tuned intervals. Every five seconds it updates the
//! estimated memory bandwidth and the percentiles of the idle time of memory.

use damon::{
    engine::{
        AttrsParams,
        IntervalsGoal,
        Micros, //
    },
    kdamond::{
        self,
        Context,
        Kdamond,
        Moment,
        Params, //
    },
    ops::OpsId,
    service::{
        Enabled,
        KdamondPid,
        Number,
        Numbers,
        Service, //
    },
    sort, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: DamonStat,
    name: "damon_stat",
    beside: "damon_rs_stat",
    description: "DAMON_STAT: data access monitoring results in simple metrics",
}

/// Time between two updates of the metrics.
const REFRESH: Micros = Micros::from_secs(5);

static BANDWIDTH: Number<u64> = Number::new(0);
static IDLE_MS: Numbers<i64, 101> = Numbers::new([const { Number::new(0) }; 101]);
static AGGR_US: Number<u64> = Number::new(0);

damon::parameters! {
    0o600 enabled: Enabled<DamonStat> = &Enabled(&SWITCH), "Enable or disable DAMON_STAT";
    0o400 estimated_memory_bandwidth: Number<u64> = &BANDWIDTH,
        "Estimated memory bandwidth usage in bytes per second";
    0o400 memory_idle_ms_percentiles: Numbers<i64, 101> = &IDLE_MS,
        "Memory idle time percentiles in milliseconds";
    0o400 aggr_interval_us: Number<u64> = &AGGR_US,
        "Current tuned aggregation interval in microseconds";
    0o400 kdamond_pid: KdamondPid<DamonStat> = &KdamondPid(&SWITCH), "PID of the kdamond, or -1";
}

struct DamonStat(Arc<Kdamond>);

impl Service for DamonStat {
    fn start() -> Result<Self> {
        let attrs = AttrsParams {
            // Aims at 4 % of the possible access events, over three aggregation intervals.
            goal: IntervalsGoal {
                access_bp: 400,
                aggrs: 3,
                min_sample_us: Micros::from_millis(5),
                max_sample_us: Micros::from_secs(10),
            },
            ..AttrsParams::default()
        };
        let kdamond = kdamond::new()?;
        kdamond.start_alone(Params::new(OpsId::Paddr, attrs)?.system_ram()?)?;
        let mut next = Moment::now().after(REFRESH);
        kdamond.call_repeatedly(move |context| {
            let now = Moment::now();
            if now >= next {
                next = now.after(REFRESH);
                update(context);
            }
        })?;
        Ok(Self(kdamond))
    }

    fn kdamond(&self) -> &Kdamond {
        &self.0
    }
}

/// Updates the metrics from the results of the last aggregation. Runs on the kdamond.
fn update(context: &Context) {
    let aggr = context.attrs().aggr();
    let regions = || context.targets().iter().flat_map(|target| target.regions());

    let accessed = regions().fold(0u64, |sum, region| {
        let bytes = region
            .size()
            .saturating_mul(u64::from(region.last_nr_accesses()));
        sum.saturating_add(bytes)
    });
    AGGR_US.set(aggr.0);
    BANDWIDTH.set(per_second(accessed, aggr));

    // If the allocation fails, the percentiles keep their old values.
    let Ok(mut times) = KVVec::with_capacity(context.nr_regions(), GFP_KERNEL) else {
        return;
    };
    for region in regions() {
        let age = i64::from(region.age()).saturating_add(1);
        let idle = if region.last_nr_accesses() > 0 {
            -age
        } else {
            age
        };
        if times.push_within_capacity((idle, region.size())).is_err() {
            return;
        }
    }
    sort(&mut times);
    update_percentiles(&times, aggr);
}

/// Converts an amount per interval to an amount per second. Saturates. An interval of zero gives
/// zero.
fn per_second(amount: u64, interval: Micros) -> u64 {
    const SECOND: u64 = 1_000_000;
    let whole = amount.checked_div(interval.0).unwrap_or(0);
    let rest = amount.checked_rem(interval.0).unwrap_or(0);
    let rest = rest.saturating_mul(SECOND).checked_div(interval.0);
    whole
        .saturating_mul(SECOND)
        .saturating_add(rest.unwrap_or(0))
}

/// Updates the percentiles of the idle time of memory. For memory that is accessed, the idle time
/// is negative: its absolute value is the time for which the access frequency has not changed.
///
/// `times` holds an idle time in aggregation intervals and a size in bytes for each region, in
/// ascending order.
fn update_percentiles(times: &[(i64, u64)], aggr: Micros) {
    let total = times
        .iter()
        .fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    let interval = i64::try_from(aggr.0).unwrap_or(i64::MAX);
    let mut percentiles = (0u64..=100).zip(IDLE_MS.each()).peekable();
    let mut passed = 0u64;
    for (idle, size) in times {
        passed = passed.saturating_add(*size);
        let percent = percent_of(passed, total);
        while let Some((_, its)) = percentiles.next_if(|(percentile, _)| *percentile <= percent) {
            its.set(idle.saturating_mul(interval) / 1000);
        }
    }
}

/// Returns `part` in percent of `total`. Returns zero if `total` is zero.
fn percent_of(part: u64, total: u64) -> u64 {
    // If `part * 100` overflows, dividing `total` instead is exact enough.
    match part.checked_mul(100) {
        Some(part) => part.checked_div(total),
        None => part.checked_div(total / 100),
    }
    .unwrap_or(0)
}
