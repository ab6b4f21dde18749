// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/dests/`: where an action moves memory to.

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
    unsupported,
    values::Number, //
};
use kernel::prelude::*;

/// `dests/`
pub(super) type Dests = List<Dest>;

impl Dests {
    /// Fails with `EOPNOTSUPP` if there is a destination.
    pub(super) fn check(&self) -> Result {
        match self.dirs.len() {
            0 => Ok(()),
            _ => Err(unsupported("schemes/<S>/dests/nr_dests")),
        }
    }
}

/// `dests/<D>/`
pub(super) struct Dest {
    id: Number<u32>,
    weight: Number<u32>,
}

impl Directory for Dest {
    fn files() -> &'static [File<Self>] {
        files!(Dest {
            rw c"id": |dest| &dest.id;
            rw c"weight": |dest| &dest.weight;
        })
    }
}

impl Entry for Dest {
    type Common = ();

    fn list_files() -> &'static [File<Dests>] {
        files!(Dests {
            rw c"nr_dests": |dests| dests;
        })
    }

    fn new(_: Place<'_>, _: &Dests) -> Result<Self> {
        Ok(Self {
            id: Number::new(0),
            weight: Number::new(0),
        })
    }
}
