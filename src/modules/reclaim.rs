// SPDX-License-Identifier: GPL-2.0

//! DAMON_RECLAIM: proactively reclaims cold memory.
//!
//! One scheme pages out regions that were not accessed for `min_age` microseconds, the oldest
//! first, within the quotas. It is active only while the rate of free memory is between the
//! watermarks.

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
    SWITCH: Reclaim,
    name: "damon_reclaim",
    beside: "damon_rs_reclaim",
    description: "DAMON_RECLAIM: proactive reclamation of cold memory",
}

static MONITORING: Monitoring = Monitoring::new();
static MARKS: Marks = Marks::new(500, 400, 200);
static DONE: Done = Done::new();
static MIN_AGE: Number<u64> = Number::new(120_000_000);
static QUOTA_MS: Number<u64> = Number::new(10);
static QUOTA_SZ: Number<u64> = Number::new(128 << 20);
static QUOTA_RESET_MS: Number<u64> = Number::new(1_000);
static QUOTA_PRESSURE_US: Number<u64> = Number::new(0);
static QUOTA_FEEDBACK: Number<u64> = Number::new(0);
static SKIP_ANON: Flag = Flag::new(false);

damon::parameters! {
    0o600 enabled: Enabled<Reclaim> = &Enabled(&SWITCH), "Enable or disable DAMON_RECLAIM";
    0o600 commit_inputs: CommitInputs<Reclaim> = &CommitInputs(&SWITCH),
        "Apply the current values of the other parameters";
    0o600 min_age: Number<u64> = &MIN_AGE,
        "Time without access after which memory is cold, in microseconds";
    0o600 quota_ms: Number<u64> = &QUOTA_MS,
        "Time quota per reset interval in milliseconds, 0 for no limit";
    0o600 quota_sz: Number<u64> = &QUOTA_SZ,
        "Size quota per reset interval in bytes, 0 for no limit";
    0o600 quota_reset_interval_ms: Number<u64> = &QUOTA_RESET_MS,
        "Quota reset interval in milliseconds";
    0o600 quota_mem_pressure_us: Number<u64> = &QUOTA_PRESSURE_US,
        "Target memory pressure per reset interval in microseconds, 0 to disable";
    0o600 quota_autotune_feedback: Number<u64> = &QUOTA_FEEDBACK,
        "User feedback for quota auto-tuning, target 10000, 0 to disable";
    0o600 skip_anon: Flag = &SKIP_ANON, "Do not reclaim anonymous pages";
    0o400 kdamond_pid: KdamondPid<Reclaim> = &KdamondPid(&SWITCH), "PID of the kdamond, or -1";
    0o400 nr_reclaim_tried_regions: Number<u64> = &DONE.nr_tried.total,
        "Regions that reclaim was tried on";
    0o400 bytes_reclaim_tried_regions: Number<u64> = &DONE.sz_tried.total, "Bytes of them";
    0o400 nr_reclaimed_regions: Number<u64> = &DONE.nr_applied.total, "Reclaimed regions";
    0o400 bytes_reclaimed_regions: Number<u64> = &DONE.sz_applied.total, "Bytes of them";
    0o400 nr_quota_exceeds: Number<u64> = &DONE.qt_exceeds.total,
        "Number of times the quota was exceeded";
}

common_parameters!(MONITORING, MARKS);

struct Reclaim(Arc<Kdamond>);

impl Service for Reclaim {
    fn start() -> Result<Self> {
        let kdamond = kdamond::new()?;
        DONE.begin(&MONITORING);
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

impl Drop for Reclaim {
    fn drop(&mut self) {
        // Counts the last application of the scheme. Fails if the kdamond has ended by itself, or
        // if the thread is being killed.
        let _ = self.0.call(count);
    }
}

/// Updates the statistics. For the kdamond.
fn count(context: &mut Context) {
    if let Some(scheme) = context.schemes().first() {
        DONE.update(scheme.stat(), context.ops().addr_unit());
    }
}

/// Builds the parameters of the kdamond. Fails with `EINVAL` if the values conflict, and with
/// `ENOMEM`.
fn params() -> Result<Params> {
    // The age of a region is counted in aggregation intervals. The in-tree module rejects zero too,
    // also with auto-tuning enabled.
    if MONITORING.aggr_interval.get() == 0 {
        return Err(EINVAL);
    }
    MONITORING.params()?.scheme(scheme()?)
}

fn scheme() -> Result<SchemeParams> {
    let pattern = AccessPattern {
        nr_accesses: MinMax { min: 0, max: 0 },
        ..MONITORING.any_pages()
    };
    let goal = |metric, target_value| Goal {
        metric,
        target_value,
    };
    let pressure = Some(QUOTA_PRESSURE_US.get()).filter(|wanted| *wanted != 0);
    let feedback = Some(QUOTA_FEEDBACK.get()).filter(|given| *given != 0);
    let anon = Filter {
        kind: FilterKind::Anon,
        matching: true,
        allow: false,
    };
    Ok(SchemeParams {
        filters: Filters::new(&list([SKIP_ANON.get().then_some(anon)])?)?,
        quota: QuotaParams {
            ms: QUOTA_MS.get(),
            bytes: MONITORING.units(QUOTA_SZ.get()),
            reset_interval: Micros::from_millis(QUOTA_RESET_MS.get()),
            goals: list([
                pressure.map(|wanted| goal(GoalMetric::SomeMemPsiUs, wanted)),
                feedback.map(|given| goal(GoalMetric::UserInput(given), 10_000)),
            ])?,
            weights: Weights {
                sz: 0,
                nr_accesses: 0,
                age: 1,
            },
            ..QuotaParams::default()
        },
        watermarks: MARKS.watermarks(),
        min_age: Micros(MIN_AGE.get()),
        ..SchemeParams::new(pattern, Action::Pageout)
    })
}
