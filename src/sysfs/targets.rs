// SPDX-License-Identifier: GPL-2.0

//! `targets/`: the processes, or the parts of physical memory, to monitor.

use super::{
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        Entry,
        List, //
    },
    values::{
        Flag,
        Number, //
    },
};
use crate::{
    engine::{
        AddrRange,
        TargetParams, //
    },
    glue::log::Because,
    mm::Pid,
    ops::{
        OpsId,
        Space, //
    }, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// `targets/`
pub(super) type TargetsDir = List<TargetDir>;

impl TargetsDir {
    /// Builds the parameters of all targets from the files, for the operations set `ops`.
    ///
    /// Fails with `EINVAL` if no process has the given PID, if regions are not in ascending order,
    /// and if there is more than one target for the physical address space. Fails with `ENOMEM`.
    pub(super) fn params(&self, ops: OpsId) -> Result<KVec<TargetParams<Space>>> {
        let targets = &self.dirs;
        if ops == OpsId::Paddr && targets.len() > 1 {
            return Err(EINVAL).because("targets/nr_targets: physical memory is one target");
        }
        let mut params = KVec::with_capacity(targets.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for target in targets.iter() {
            params.push_within_capacity(target.params(ops)?)?;
        }
        Ok(params)
    }
}

/// `targets/<T>/`
pub(super) struct TargetDir {
    pid: Number<i32>,
    obsolete: Flag,
    regions: Dir<RegionsDir>,
}

impl Directory for TargetDir {
    fn files() -> &'static [File<Self>] {
        files!(TargetDir {
            rw_einval c"pid_target": |target| &target.pid;
            rw c"obsolete_target": |target| &target.obsolete;
        })
    }
}

impl Entry for TargetDir {
    type Common = ();

    fn list_files() -> &'static [File<TargetsDir>] {
        files!(TargetsDir {
            rw c"nr_targets": |targets| targets;
        })
    }

    fn new(place: Place<'_>, list: &TargetsDir) -> Result<Self> {
        Ok(Self {
            pid: Number::new(0),
            obsolete: Flag::new(false),
            regions: Dir::new(place, c"regions", |_| List::new(&list.structure, ()))?,
        })
    }
}

impl TargetDir {
    fn params(&self, ops: OpsId) -> Result<TargetParams<Space>> {
        let space = match ops {
            OpsId::Vaddr | OpsId::Fvaddr => {
                let found = Pid::find(self.pid.get()).ok_or(EINVAL);
                Space::Process(found.because("targets/<T>/pid_target: no process has this PID")?)
            }
            OpsId::Paddr => Space::Physical,
            OpsId::Custom => return Err(EINVAL),
        };
        Ok(TargetParams {
            space,
            obsolete: self.obsolete.get(),
            regions: self.regions.params()?,
        })
    }
}

/// `targets/<T>/regions/`
type RegionsDir = List<RegionDir>;

impl RegionsDir {
    fn params(&self) -> Result<KVec<AddrRange>> {
        let regions = &self.dirs;
        let mut ranges = KVec::with_capacity(regions.len(), GFP_KERNEL | __GFP_NOWARN)?;
        let mut covered = 0;
        for region in regions.iter() {
            let range = follow(covered, region.start.get(), region.end.get())
                .because("targets/<T>/regions/<R>: not in ascending order")?;
            covered = range.end;
            ranges.push_within_capacity(range)?;
        }
        Ok(ranges)
    }
}

/// Returns the range. Fails with `EINVAL` if its end is below its start, or its start is below
/// `covered`, the end of the region before.
fn follow(covered: u64, start: u64, end: u64) -> Result<AddrRange> {
    if start > end || start < covered {
        return Err(EINVAL);
    }
    Ok(AddrRange { start, end })
}

/// `targets/<T>/regions/<R>/`
pub(super) struct RegionDir {
    start: Number<u64>,
    end: Number<u64>,
}

impl Directory for RegionDir {
    fn files() -> &'static [File<Self>] {
        files!(RegionDir {
            rw c"start": |region| &region.start;
            rw c"end": |region| &region.end;
        })
    }
}

impl Entry for RegionDir {
    type Common = ();

    fn list_files() -> &'static [File<RegionsDir>] {
        files!(RegionsDir {
            rw c"nr_regions": |regions| regions;
        })
    }

    fn new(_: Place<'_>, _: &RegionsDir) -> Result<Self> {
        Ok(Self {
            start: Number::new(0),
            end: Number::new(0),
        })
    }
}

#[kunit_tests(damon_rs_sysfs_targets)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_ascending() -> Result {
        assert_eq!(follow(0, 10, 9).err(), Some(EINVAL));
        assert_eq!(follow(0, 10, 20)?.end, 20);
        assert_eq!(follow(20, 20, 30)?.start, 20);
        assert_eq!(follow(20, 19, 30).err(), Some(EINVAL));
        assert_eq!(follow(0, u64::MAX, u64::MAX)?.end, u64::MAX);
        Ok(())
    }
}
