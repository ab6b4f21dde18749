// SPDX-License-Identifier: GPL-2.0

//! `schemes/`: DAMON-based operation schemes, each an action for memory of an access pattern.

use super::{
    dests::DestsDir,
    filters::{
        self,
        FiltersDir,
        Layer, //
    },
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        Change,
        Entry,
        List, //
    },
    quotas::QuotasDir,
    stats::StatsDir,
    tried_regions::{
        self,
        TriedRegions,
        WalkRecorder, //
    },
    values::{
        Number,
        Range,
        Word,
        Words, //
    },
    watermarks::WatermarksDir,
};
use crate::{
    engine::{
        AccessPattern,
        Action,
        Goal,
        Micros,
        MinMax,
        SchemeParams, //
    },
    panic_free::indexed, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// `schemes/`
pub(super) type Schemes = List<SchemeDir>;

impl Schemes {
    /// Removes the regions that `tried_regions/` of each scheme shows.
    pub(super) fn clear_tried_regions(&self, change: &Change<'_>) -> Result {
        self.dirs
            .iter()
            .try_for_each(|scheme| tried_regions::clear(change, &scheme.tried_regions))
    }

    /// Shows the regions of a walk in `tried_regions/` of each scheme. `recorder` must have been
    /// created for as many schemes as there are directories.
    ///
    /// Fails with `ENOMEM` if a record could not be allocated; then the files are not changed.
    /// Fails with `ENOMEM` or an error of sysfs if a directory could not be created; then all
    /// schemes show no regions.
    pub(super) fn show_tried_regions(
        &self,
        change: &Change<'_>,
        recorder: &WalkRecorder,
    ) -> Result {
        if !recorder.is_complete() {
            return Err(ENOMEM);
        }
        indexed(self.dirs.iter())
            .try_for_each(|(number, scheme)| recorder.show(change, number, &scheme.tried_regions))
            .inspect_err(|_| {
                // A reader cannot distinguish a part of the regions from all of them. Clearing does
                // not allocate, so it does not fail.
                let _ = self.clear_tried_regions(change);
            })
    }

    /// Builds the parameters of all schemes from the files.
    ///
    /// Sleeps. Fails with `ENOMEM`, also if a value is not acceptable, and with `EOPNOTSUPP` if
    /// this kernel does not support a value. The in-tree DAMON returns `ENOMEM` for bad values here
    /// too.
    pub(super) fn params(&self) -> Result<KVec<SchemeParams>> {
        let mut params = KVec::with_capacity(self.dirs.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for scheme in self.dirs.iter() {
            let its = scheme.params().map_err(|err| match err {
                EINVAL => ENOMEM,
                err => err,
            })?;
            params.push_within_capacity(its)?;
        }
        Ok(params)
    }
}

impl Schemes {
    /// Builds the list of quota goals of each scheme. Fails with the errors of
    /// [`QuotasDir::goals`].
    pub(super) fn goals(&self) -> Result<KVec<KVec<Goal>>> {
        let mut goals = KVec::with_capacity(self.dirs.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for scheme in self.dirs.iter() {
            goals.push_within_capacity(scheme.quotas.goals()?)?;
        }
        Ok(goals)
    }
}

impl Words for Action {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (Self::Stat.name(), Self::Stat),
        (Self::Willneed.name(), Self::Willneed),
        (Self::Cold.name(), Self::Cold),
        (Self::Pageout.name(), Self::Pageout),
        (Self::Hugepage.name(), Self::Hugepage),
        (Self::Nohugepage.name(), Self::Nohugepage),
        (Self::Collapse.name(), Self::Collapse),
        (Self::LruPrio.name(), Self::LruPrio),
        (Self::LruDeprio.name(), Self::LruDeprio),
        (Self::MigrateHot.name(), Self::MigrateHot),
        (Self::MigrateCold.name(), Self::MigrateCold),
    ];
}

/// The value of `target_nid` that stands for no node, `NUMA_NO_NODE` in C.
const NO_NODE: i32 = -1;

/// `schemes/<S>/`
pub(super) struct SchemeDir {
    action: Word<Action>,
    target_nid: Number<i32>,
    apply_interval_us: Number<u64>,
    access_pattern: Dir<Pattern>,
    dests: Dir<DestsDir>,
    pub(super) quotas: Dir<QuotasDir>,
    watermarks: Dir<WatermarksDir>,
    /// In the order in which the filters are evaluated.
    filters: [Dir<FiltersDir>; 3],
    pub(super) stats: Dir<StatsDir>,
    pub(super) tried_regions: Dir<TriedRegions>,
}

impl Directory for SchemeDir {
    fn files() -> &'static [File<Self>] {
        files!(SchemeDir {
            rw c"action": |scheme| &scheme.action;
            rw c"target_nid": |scheme| &scheme.target_nid;
            rw c"apply_interval_us": |scheme| &scheme.apply_interval_us;
        })
    }
}

impl Entry for SchemeDir {
    type Common = ();

    fn list_files() -> &'static [File<Schemes>] {
        files!(Schemes {
            rw c"nr_schemes": |schemes| schemes;
        })
    }

    fn new(place: Place<'_>, list: &Schemes) -> Result<Self> {
        let structure = &list.structure;
        let filters = |layer: Layer| Dir::new(place, layer.name(), |_| List::new(structure, layer));
        Ok(Self {
            action: Word::new(),
            target_nid: Number::new(NO_NODE),
            apply_interval_us: Number::new(0),
            access_pattern: Dir::new(place, c"access_pattern", Pattern::new)?,
            dests: Dir::new(place, c"dests", |_| List::new(structure, ()))?,
            quotas: Dir::new(place, c"quotas", |place| QuotasDir::new(place, structure))?,
            watermarks: Dir::new(place, c"watermarks", |_| Ok(WatermarksDir::new()))?,
            filters: [
                filters(Layer::Core)?,
                filters(Layer::Ops)?,
                filters(Layer::Any)?,
            ],
            stats: Dir::new(place, c"stats", |_| Ok(StatsDir::new()))?,
            tried_regions: Dir::new(place, c"tried_regions", |_| TriedRegions::new())?,
        })
    }
}

impl SchemeDir {
    fn params(&self) -> Result<SchemeParams> {
        let target_nid = self.target_nid.get();
        Ok(SchemeParams {
            pattern: self.access_pattern.params(),
            min_age: Micros(0),
            action: self.action.get()?,
            apply_interval: Micros(self.apply_interval_us.get()),
            max_nr_snapshots: self.stats.max_nr_snapshots.get(),
            filters: filters::params(self.filters.iter().map(|dir| &**dir))?,
            target_nid: (target_nid != NO_NODE).then_some(target_nid),
            dests: self.dests.params()?,
            quota: self.quotas.params()?,
            watermarks: self.watermarks.params()?,
        })
    }
}

/// `access_pattern/`: size in the unit of addresses, accesses per aggregation interval, and age in
/// aggregation intervals.
struct Pattern {
    sz: Dir<Range>,
    nr_accesses: Dir<Range>,
    age: Dir<Range>,
}

impl Directory for Pattern {
    fn files() -> &'static [File<Self>] {
        &[]
    }
}

impl Pattern {
    fn new(place: Place<'_>) -> Result<Self> {
        let range = |name| Dir::new(place, name, |_| Ok(Range::new(0, 0)));
        Ok(Self {
            sz: range(c"sz")?,
            nr_accesses: range(c"nr_accesses")?,
            age: range(c"age")?,
        })
    }

    fn params(&self) -> AccessPattern {
        let counts = |range: &Range| MinMax {
            min: count(range.min.get()),
            max: count(range.max.get()),
        };
        AccessPattern {
            sz: MinMax {
                min: self.sz.min.get(),
                max: self.sz.max.get(),
            },
            nr_accesses: counts(&self.nr_accesses),
            age: counts(&self.age),
        }
    }
}

/// Converts a limit of a 32-bit count. Saturates: all limits above `u32::MAX` have the same effect.
fn count(limit: u64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[kunit_tests(damon_rs_sysfs_schemes)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_no_count_reaches_saturates() {
        assert_eq!(count(7), 7);
        assert_eq!(count(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(count(1 << 32), u32::MAX);
        assert_eq!(count(u64::MAX), u32::MAX);
    }

    #[test]
    fn a_scheme_starts_as_stat() -> Result {
        assert_eq!(Word::<Action>::new().get()?, Action::Stat);
        Ok(())
    }
}
