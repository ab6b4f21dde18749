// SPDX-License-Identifier: GPL-2.0

//! `monitoring_attrs/`: the monitoring intervals, the limits of the number of regions, and probes.

use super::{
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        List,
        Structure, //
    },
    probes::ProbesDir,
    values::{
        Number,
        Range, //
    },
};
use crate::{
    engine::{
        self,
        AttrsParams,
        IntervalsGoal,
        Micros, //
    },
    kdamond::validated,
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// `monitoring_attrs/`
pub(super) struct AttrsDir {
    intervals: Dir<Intervals>,
    nr_regions: Dir<Range>,
    probes: Dir<ProbesDir>,
}

impl Directory for AttrsDir {
    fn files() -> &'static [File<Self>] {
        &[]
    }
}

impl AttrsDir {
    pub(super) fn new(place: Place<'_>, structure: &Arc<Structure>) -> Result<Self> {
        let default = AttrsParams::default();
        let (min, max) = (default.min_nr_regions, default.max_nr_regions);
        Ok(Self {
            intervals: Dir::new(place, c"intervals", |place| Intervals::new(place, &default))?,
            nr_regions: Dir::new(place, c"nr_regions", |_| Ok(Range::new(min, max)))?,
            probes: Dir::new(place, c"probes", |_| List::new(structure, ()))?,
        })
    }

    /// Builds the data attribute probes from the files. Fails with the errors of
    /// [`ProbesDir::params`].
    pub(super) fn probes(&self) -> Result<engine::Probes> {
        self.probes.params()
    }

    /// Builds the monitoring attributes from the files. Fails with `EINVAL` if the values conflict,
    /// see [`validated`].
    pub(super) fn params(&self) -> Result<engine::Attrs> {
        let intervals = &self.intervals;
        let params = AttrsParams {
            sample: Micros(intervals.sample_us.get()),
            aggr: Micros(intervals.aggr_us.get()),
            ops_update: Micros(intervals.update_us.get()),
            goal: intervals.goal.params(),
            min_nr_regions: self.nr_regions.min.get(),
            max_nr_regions: self.nr_regions.max.get(),
        };
        validated(params)
    }

    /// Stores the intervals of a running kdamond in the files. Acquires no lock.
    pub(super) fn set_tuned(&self, sample: Micros, aggr: Micros) {
        self.intervals.sample_us.set(sample.0);
        self.intervals.aggr_us.set(aggr.0);
    }
}

/// `intervals/`
struct Intervals {
    sample_us: Number<u64>,
    aggr_us: Number<u64>,
    update_us: Number<u64>,
    goal: Dir<GoalDir>,
}

impl Directory for Intervals {
    fn files() -> &'static [File<Self>] {
        files!(Intervals {
            rw c"sample_us": |intervals| &intervals.sample_us;
            rw c"aggr_us": |intervals| &intervals.aggr_us;
            rw c"update_us": |intervals| &intervals.update_us;
        })
    }
}

impl Intervals {
    fn new(place: Place<'_>, default: &AttrsParams) -> Result<Self> {
        Ok(Self {
            sample_us: Number::new(default.sample.0),
            aggr_us: Number::new(default.aggr.0),
            update_us: Number::new(default.ops_update.0),
            goal: Dir::new(place, c"intervals_goal", |_| Ok(GoalDir::new()))?,
        })
    }
}

/// `intervals_goal/`
struct GoalDir {
    access_bp: Number<u64>,
    aggrs: Number<u64>,
    min_sample_us: Number<u64>,
    max_sample_us: Number<u64>,
}

impl Directory for GoalDir {
    fn files() -> &'static [File<Self>] {
        files!(GoalDir {
            rw c"access_bp": |goal| &goal.access_bp;
            rw c"aggrs": |goal| &goal.aggrs;
            rw c"min_sample_us": |goal| &goal.min_sample_us;
            rw c"max_sample_us": |goal| &goal.max_sample_us;
        })
    }
}

impl GoalDir {
    const fn new() -> Self {
        Self {
            access_bp: Number::new(0),
            aggrs: Number::new(0),
            min_sample_us: Number::new(0),
            max_sample_us: Number::new(0),
        }
    }

    fn params(&self) -> IntervalsGoal {
        IntervalsGoal {
            access_bp: self.access_bp.get(),
            aggrs: self.aggrs.get(),
            min_sample_us: Micros(self.min_sample_us.get()),
            max_sample_us: Micros(self.max_sample_us.get()),
        }
    }
}
