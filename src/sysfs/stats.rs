// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/stats/`: statistics of a scheme.

use super::{
    kobject::{
        files,
        Directory,
        File, //
    },
    values::Number, //
};
use crate::engine::Stat;

/// `stats/`
pub(super) struct StatsDir {
    nr_tried: Number<u64>,
    sz_tried: Number<u64>,
    nr_applied: Number<u64>,
    sz_applied: Number<u64>,
    sz_ops_filter_passed: Number<u64>,
    qt_exceeds: Number<u64>,
    nr_snapshots: Number<u64>,
    pub(super) max_nr_snapshots: Number<u64>,
}

impl Directory for StatsDir {
    fn files() -> &'static [File<Self>] {
        files!(StatsDir {
            ro c"nr_tried": |stats| &stats.nr_tried;
            ro c"sz_tried": |stats| &stats.sz_tried;
            ro c"nr_applied": |stats| &stats.nr_applied;
            ro c"sz_applied": |stats| &stats.sz_applied;
            ro c"sz_ops_filter_passed": |stats| &stats.sz_ops_filter_passed;
            ro c"qt_exceeds": |stats| &stats.qt_exceeds;
            ro c"nr_snapshots": |stats| &stats.nr_snapshots;
            rw c"max_nr_snapshots": |stats| &stats.max_nr_snapshots;
        })
    }
}

impl StatsDir {
    pub(super) const fn new() -> Self {
        Self {
            nr_tried: Number::new(0),
            sz_tried: Number::new(0),
            nr_applied: Number::new(0),
            sz_applied: Number::new(0),
            sz_ops_filter_passed: Number::new(0),
            qt_exceeds: Number::new(0),
            nr_snapshots: Number::new(0),
            max_nr_snapshots: Number::new(0),
        }
    }

    /// Stores the statistics of a running scheme in the files. Acquires no lock.
    pub(super) fn set(&self, stat: &Stat) {
        self.nr_tried.set(stat.nr_tried);
        self.sz_tried.set(stat.sz_tried);
        self.nr_applied.set(stat.nr_applied);
        self.sz_applied.set(stat.sz_applied);
        self.sz_ops_filter_passed.set(stat.sz_ops_filter_passed);
        self.qt_exceeds.set(stat.qt_exceeds);
        self.nr_snapshots.set(stat.nr_snapshots);
    }
}
