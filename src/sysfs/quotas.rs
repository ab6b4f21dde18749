// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/quotas/`: limits of the time and size that an action may be applied to per quota
//! reset interval.

use super::{
    existing_memcg,
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        Entry,
        List,
        Structure, //
    },
    values::{
        Number,
        Text,
        Word,
        Words, //
    },
};
use crate::engine::{
    self,
    FailCharge,
    GoalMetric,
    Micros,
    QuotaParams,
    Tuner, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    sync::Arc, //
};

impl Words for Tuner {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (Self::Consist.name(), Self::Consist),
        (Self::Temporal.name(), Self::Temporal),
    ];
}

/// `quotas/`
pub(super) struct QuotasDir {
    ms: Number<u64>,
    bytes: Number<u64>,
    reset_interval_ms: Number<u64>,
    pub(super) effective_bytes: Number<u64>,
    goal_tuner: Word<Tuner>,
    fail_charge_num: Number<u32>,
    fail_charge_denom: Number<u32>,
    weights: Dir<WeightsDir>,
    goals: Dir<GoalsDir>,
}

impl Directory for QuotasDir {
    fn files() -> &'static [File<Self>] {
        files!(QuotasDir {
            rw_einval c"ms": |quotas| &quotas.ms;
            rw_einval c"bytes": |quotas| &quotas.bytes;
            rw_einval c"reset_interval_ms": |quotas| &quotas.reset_interval_ms;
            ro c"effective_bytes": |quotas| &quotas.effective_bytes;
            rw c"goal_tuner": |quotas| &quotas.goal_tuner;
            rw_einval c"fail_charge_num": |quotas| &quotas.fail_charge_num;
            rw_einval c"fail_charge_denom": |quotas| &quotas.fail_charge_denom;
        })
    }
}

impl QuotasDir {
    pub(super) fn new(place: Place<'_>, structure: &Arc<Structure>) -> Result<Self> {
        Ok(Self {
            ms: Number::new(0),
            bytes: Number::new(0),
            reset_interval_ms: Number::new(0),
            effective_bytes: Number::new(0),
            goal_tuner: Word::new(),
            fail_charge_num: Number::new(0),
            fail_charge_denom: Number::new(0),
            weights: Dir::new(place, c"weights", |_| Ok(WeightsDir::new()))?,
            goals: Dir::new(place, c"goals", |_| List::new(structure, ()))?,
        })
    }

    /// Builds the quota parameters from the files. Fails with the errors of [`Self::goals`].
    pub(super) fn params(&self) -> Result<QuotaParams> {
        Ok(QuotaParams {
            ms: self.ms.get(),
            bytes: self.bytes.get(),
            reset_interval: Micros::from_millis(self.reset_interval_ms.get()),
            goals: self.goals()?,
            tuner: self.goal_tuner.get()?,
            fail_charge: FailCharge {
                num: self.fail_charge_num.get(),
                denom: self.fail_charge_denom.get(),
            },
            weights: engine::Weights {
                sz: self.weights.sz_permil.get(),
                nr_accesses: self.weights.nr_accesses_permil.get(),
                age: self.weights.age_permil.get(),
            },
        })
    }

    /// Builds the list of quota goals from the files. Goals with a target value of zero are left
    /// out.
    ///
    /// Sleeps. Fails with `EINVAL` if no memory control group has the given path, with `EOPNOTSUPP`
    /// if the module cannot iterate over the groups of this kernel, and with `ENOMEM`.
    pub(super) fn goals(&self) -> Result<KVec<engine::Goal>> {
        let dirs = &self.goals.dirs;
        let mut goals = KVec::with_capacity(dirs.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for goal in dirs.iter() {
            if let Some(goal) = goal.params()? {
                goals.push_within_capacity(goal)?;
            }
        }
        Ok(goals)
    }
}

/// `weights/`
struct WeightsDir {
    sz_permil: Number<u32>,
    nr_accesses_permil: Number<u32>,
    age_permil: Number<u32>,
}

impl Directory for WeightsDir {
    fn files() -> &'static [File<Self>] {
        files!(WeightsDir {
            rw c"sz_permil": |weights| &weights.sz_permil;
            rw c"nr_accesses_permil": |weights| &weights.nr_accesses_permil;
            rw c"age_permil": |weights| &weights.age_permil;
        })
    }
}

impl WeightsDir {
    const fn new() -> Self {
        Self {
            sz_permil: Number::new(0),
            nr_accesses_permil: Number::new(0),
            age_permil: Number::new(0),
        }
    }
}

/// The metric of a quota goal.
#[derive(Clone, Copy)]
enum Metric {
    UserInput,
    SomeMemPsiUs,
    NodeMemUsedBp,
    NodeMemFreeBp,
    NodeMemcgUsedBp,
    NodeMemcgFreeBp,
    ActiveMemBp,
    InactiveMemBp,
    NodeEligibleMemBp,
}

impl Words for Metric {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (GoalMetric::UserInput(0).name(), Self::UserInput),
        (GoalMetric::SomeMemPsiUs.name(), Self::SomeMemPsiUs),
        (GoalMetric::NodeMemUsedBp(0).name(), Self::NodeMemUsedBp),
        (GoalMetric::NodeMemFreeBp(0).name(), Self::NodeMemFreeBp),
        (
            GoalMetric::NodeMemcgUsedBp(0, 0).name(),
            Self::NodeMemcgUsedBp,
        ),
        (
            GoalMetric::NodeMemcgFreeBp(0, 0).name(),
            Self::NodeMemcgFreeBp,
        ),
        (GoalMetric::ActiveMemBp.name(), Self::ActiveMemBp),
        (GoalMetric::InactiveMemBp.name(), Self::InactiveMemBp),
        (
            GoalMetric::NodeEligibleMemBp(0).name(),
            Self::NodeEligibleMemBp,
        ),
    ];
}

/// `goals/`
type GoalsDir = List<GoalDir>;

/// `goals/<G>/`
struct GoalDir {
    target_metric: Word<Metric>,
    target_value: Number<u64>,
    current_value: Number<u64>,
    nid: Number<i32>,
    path: Text,
}

impl GoalDir {
    /// Returns the goal, or `None` if its target value is zero.
    fn params(&self) -> Result<Option<engine::Goal>> {
        let target_value = self.target_value.get();
        if target_value == 0 {
            return Ok(None);
        }
        let nid = self.nid.get();
        let memcg = || existing_memcg(&self.path.get()?, "quotas/goals/<G>/path");
        let metric = match self.target_metric.get()? {
            Metric::UserInput => GoalMetric::UserInput(self.current_value.get()),
            Metric::SomeMemPsiUs => GoalMetric::SomeMemPsiUs,
            Metric::NodeMemUsedBp => GoalMetric::NodeMemUsedBp(nid),
            Metric::NodeMemFreeBp => GoalMetric::NodeMemFreeBp(nid),
            Metric::NodeMemcgUsedBp => GoalMetric::NodeMemcgUsedBp(nid, memcg()?),
            Metric::NodeMemcgFreeBp => GoalMetric::NodeMemcgFreeBp(nid, memcg()?),
            Metric::ActiveMemBp => GoalMetric::ActiveMemBp,
            Metric::InactiveMemBp => GoalMetric::InactiveMemBp,
            Metric::NodeEligibleMemBp => GoalMetric::NodeEligibleMemBp(nid),
        };
        Ok(Some(engine::Goal {
            metric,
            target_value,
        }))
    }
}

impl Directory for GoalDir {
    fn files() -> &'static [File<Self>] {
        files!(GoalDir {
            rw c"target_metric": |goal| &goal.target_metric;
            rw c"target_value": |goal| &goal.target_value;
            rw c"current_value": |goal| &goal.current_value;
            rw c"nid": |goal| &goal.nid;
            rw c"path": |goal| &goal.path;
        })
    }
}

impl Entry for GoalDir {
    type Common = ();

    fn list_files() -> &'static [File<GoalsDir>] {
        files!(GoalsDir {
            rw c"nr_goals": |goals| goals;
        })
    }

    fn new(_: Place<'_>, _: &GoalsDir) -> Result<Self> {
        Ok(Self {
            target_metric: Word::new(),
            target_value: Number::new(0),
            current_value: Number::new(0),
            nid: Number::new(0),
            path: Text::new()?,
        })
    }
}
