// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/dests/`: the NUMA nodes that a migration action moves memory to.

use super::{
    kobject::{
        files,
        Directory,
        File,
        Place, //
    },
    list::{
        Entry,
        List, //
    },
    values::Number, //
};
use crate::engine;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// `dests/`
pub(super) type DestsDir = List<DestDir>;

impl DestsDir {
    /// Builds the list of destination nodes from the files. Fails with `ENOMEM`.
    pub(super) fn params(&self) -> Result<engine::Dests> {
        let mut list = KVec::with_capacity(self.dirs.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for dest in self.dirs.iter() {
            list.push_within_capacity(engine::Dest {
                nid: dest.id.get(),
                weight: dest.weight.get(),
            })?;
        }
        Ok(list.into())
    }
}

/// `dests/<D>/`
pub(super) struct DestDir {
    id: Number<u32>,
    weight: Number<u32>,
}

impl Directory for DestDir {
    fn files() -> &'static [File<Self>] {
        files!(DestDir {
            rw c"id": |dest| &dest.id;
            rw c"weight": |dest| &dest.weight;
        })
    }
}

impl Entry for DestDir {
    type Common = ();

    fn list_files() -> &'static [File<DestsDir>] {
        files!(DestsDir {
            rw c"nr_dests": |dests| dests;
        })
    }

    fn new(_: Place<'_>, _: &DestsDir) -> Result<Self> {
        Ok(Self {
            id: Number::new(0),
            weight: Number::new(0),
        })
    }
}
