// SPDX-License-Identifier: GPL-2.0

//! DAMON_LRU_SORT: sorts the LRU lists by access pattern.
//!
//! One scheme prioritizes the pages of hot regions on the LRU lists, another one deprioritizes the
//! pages of cold regions. Each may use half of the time quota. Both are active only while the rate
//! of free memory is between the watermarks.

mod common;

use common::{
    common_parameters,
    list,
    Done,
    Marks,
    Monitoring, //
};
use damon::{
    engine::{
        AccessPattern,
        Action,
        Attrs,
        Filter,
        FilterKind,
        Filters,
        Goal,
        GoalMetric,
        Micros,
        MinMax,
        QuotaParams,
        SchemeParams,
        Weights, //
    },
    kdamond::{
        self,
        Context,
        Kdamond,
        Params, //
    },
    service::{
        CommitInputs,
        Enabled,
        Flag,
        KdamondPid,
        Number,
        Service, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: LruSort,
    name: "damon_lru_sort",
    beside: "damon_rs_lru_sort",
    description: "DAMON_LRU_SORT: LRU-lists sorting by access patterns",
}

static MONITORING: Monitoring = Monitoring::new();
static MARKS: Marks = Marks::new(200, 150, 50);
static HOT_DONE: Done = Done::new();
static COLD_DONE: Done = Done::new();
static ACTIVE_MEM_BP: Number<u64> = Number::new(0);
static FILTER_YOUNG: Flag = Flag::new(false);
static HOT_PERMIL: Number<u64> = Number::new(500);
static COLD_MIN_AGE: Number<u64> = Number::new(120_000_000);
static QUOTA_MS: Number<u64> = Number::new(10);
static QUOTA_RESET_MS: Number<u64> = Number::new(1_000);

damon::parameters! {
    0o600 enabled: Enabled<LruSort> = &Enabled(&SWITCH), "Enable or disable DAMON_LRU_SORT";
    0o600 commit_inputs: CommitInputs<LruSort> = &CommitInputs(&SWITCH),
        "Apply the current values of the other parameters";
    0o600 active_mem_bp: Number<u64> = &ACTIVE_MEM_BP,
        "Target share of active memory in basis points, 0 to disable";
    0o600 filter_young_pages: Flag = &FILTER_YOUNG,
        "Check accesses of each page again before it is moved";
    0o600 hot_thres_access_freq: Number<u64> = &HOT_PERMIL,
        "Access frequency from which memory is hot, in permil of the samples";
    0o600 cold_min_age: Number<u64> = &COLD_MIN_AGE,
        "Time without access after which memory is cold, in microseconds";
    0o600 quota_ms: Number<u64> = &QUOTA_MS,
        "Time quota per reset interval in milliseconds, 0 for no limit";
    0o600 quota_reset_interval_ms: Number<u64> = &QUOTA_RESET_MS,
        "Quota reset interval in milliseconds";
    0o400 kdamond_pid: KdamondPid<LruSort> = &KdamondPid(&SWITCH), "PID of the kdamond, or -1";
    0o400 nr_lru_sort_tried_hot_regions: Number<u64> = &HOT_DONE.nr_tried.total,
        "Hot regions that prioritizing was tried on";
    0o400 bytes_lru_sort_tried_hot_regions: Number<u64> = &HOT_DONE.sz_tried.total, "Bytes of them";
    0o400 nr_lru_sorted_hot_regions: Number<u64> = &HOT_DONE.nr_applied.total,
        "Prioritized hot regions";
    0o400 bytes_lru_sorted_hot_regions: Number<u64> = &HOT_DONE.sz_applied.total, "Bytes of them";
    0o400 nr_hot_quota_exceeds: Number<u64> = &HOT_DONE.qt_exceeds.total,
        "Number of times the quota for hot memory was exceeded";
    0o400 nr_lru_sort_tried_cold_regions: Number<u64> = &COLD_DONE.nr_tried.total,
        "Cold regions that deprioritizing was tried on";
    0o400 bytes_lru_sort_tried_cold_regions: Number<u64> = &COLD_DONE.sz_tried.total, "Bytes of them";
    0o400 nr_lru_sorted_cold_regions: Number<u64> = &COLD_DONE.nr_applied.total,
        "Deprioritized cold regions";
    0o400 bytes_lru_sorted_cold_regions: Number<u64> = &COLD_DONE.sz_applied.total, "Bytes of them";
    0o400 nr_cold_quota_exceeds: Number<u64> = &COLD_DONE.qt_exceeds.total,
        "Number of times the quota for cold memory was exceeded";
}

common_parameters!(MONITORING, MARKS);

struct LruSort(Arc<Kdamond>);

impl Service for LruSort {
    fn start() -> Result<Self> {
        let kdamond = kdamond::new()?;
        HOT_DONE.begin(&MONITORING);
        COLD_DONE.begin(&MONITORING);
        kdamond.start_alone(params()?)?;
        kdamond.call_repeatedly(count)?;
        Ok(Self(kdamond))
    }

    fn commit(&self) -> Result {
        self.0.commit(params()?)
    }

    fn kdamond(&self) -> &Kdamond {
        &self.0
    }
}

impl Drop for LruSort {
    fn drop(&mut self) {
        // Counts the last application of the schemes. Fails if the kdamond has ended by itself, or
        // if the thread is being killed.
        let _ = self.0.call(count);
    }
}

/// Updates the statistics. For the kdamond.
fn count(context: &mut Context) {
    for scheme in context.schemes() {
        let done = match scheme.params().action {
            Action::LruPrio => &HOT_DONE,
            _ => &COLD_DONE,
        };
        done.update(scheme.stat(), context.ops().addr_unit());
    }
}

/// Builds the parameters of the kdamond. Fails with `EINVAL` if the values conflict, and with
/// `ENOMEM`.
fn params() -> Result<Params> {
    const ALL_BP: u64 = 10_000;
    // The in-tree module rejects a sampling interval of zero too, also with auto-tuning enabled.
    if MONITORING.sample_interval.get() == 0 {
        return Err(EINVAL);
    }
    let active = ACTIVE_MEM_BP.get();
    let inactive = ALL_BP.checked_sub(active).ok_or(EINVAL)?;
    let goal = |metric, target_value| {
        (active != 0).then_some(Goal {
            metric,
            target_value,
        })
    };
    // Rejects pages that are not young for the hot scheme, and young pages for the cold scheme.
    let young = |matching| {
        FILTER_YOUNG.get().then_some(Filter {
            kind: FilterKind::Young,
            matching,
            allow: false,
        })
    };

    let samples = Attrs::try_from(MONITORING.attrs())?.max_nr_accesses();
    let hot = u64::from(samples).saturating_mul(HOT_PERMIL.get()) / 1000;
    let hot = AccessPattern {
        nr_accesses: MinMax {
            min: u32::try_from(hot).unwrap_or(u32::MAX),
            max: u32::MAX,
        },
        ..MONITORING.any_pages()
    };
    let cold = AccessPattern {
        nr_accesses: MinMax { min: 0, max: 0 },
        ..MONITORING.any_pages()
    };
    // The two goals conflict by 2 bp, which is 0.02 %, as in the in-tree module. This keeps the
    // number of pages small that are moved back and forth.
    let inactive = inactive.saturating_add(2);
    MONITORING
        .params()?
        .scheme(scheme(
            hot,
            Action::LruPrio,
            goal(GoalMetric::ActiveMemBp, active),
            young(false),
        )?)?
        .scheme(SchemeParams {
            min_age: Micros(COLD_MIN_AGE.get()),
            ..scheme(
                cold,
                Action::LruDeprio,
                goal(GoalMetric::InactiveMemBp, inactive),
                young(true),
            )?
        })
}

/// Returns half of a time quota, in whole milliseconds. At least 1 if there is a quota, because 0
/// means no limit.
fn half_ms(quota: u64) -> u64 {
    (quota / 2).max(quota.min(1))
}

/// Returns a scheme that is applied at each aggregation, with half of the time quota.
fn scheme(
    pattern: AccessPattern,
    action: Action,
    goal: Option<Goal>,
    filter: Option<Filter>,
) -> Result<SchemeParams> {
    Ok(SchemeParams {
        filters: Filters::new(&list([filter])?)?,
        quota: QuotaParams {
            ms: half_ms(QUOTA_MS.get()),
            reset_interval: Micros::from_millis(QUOTA_RESET_MS.get()),
            goals: list([goal])?,
            weights: Weights {
                sz: 0,
                nr_accesses: 1,
                age: 1,
            },
            ..QuotaParams::default()
        },
        watermarks: MARKS.watermarks(),
        ..SchemeParams::new(pattern, action)
    })
}
