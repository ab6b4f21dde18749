// SPDX-License-Identifier: GPL-2.0

//! `probes/`: attributes of pages to look at while monitoring.

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
    unsupported,
    values::{
        Number,
        Switch,
        Text,
        Word,
        Words, //
    },
};
use kernel::prelude::*;

/// `probes/`
pub(super) type Probes = List<Probe>;

impl Probes {
    /// Fails with `EOPNOTSUPP` if there is a probe.
    pub(super) fn check(&self) -> Result {
        match self.dirs.len() {
            0 => Ok(()),
            _ => Err(unsupported("probes/nr_probes")),
        }
    }
}

/// `probes/<P>/`
pub(super) struct Probe {
    weight: Number<u32>,
    _filters: Dir<Filters>,
}

impl Directory for Probe {
    fn files() -> &'static [File<Self>] {
        files!(Probe {
            rw c"weight": |probe| &probe.weight;
        })
    }
}

impl Entry for Probe {
    type Common = ();

    /// A region has room for the hits of so many.
    const LIMIT: usize = 4;

    fn list_files() -> &'static [File<Probes>] {
        files!(Probes {
            rw c"nr_probes": |probes| probes;
        })
    }

    fn new(place: Place<'_>, list: &Probes) -> Result<Self> {
        Ok(Self {
            weight: Number::new(0),
            _filters: Dir::new(place, c"filters", |_| List::new(&list.structure, ()))?,
        })
    }
}

/// `probes/<P>/filters/`
type Filters = List<Filter>;

/// What pages a probe's filter is about.
#[derive(Clone, Copy)]
enum Kind {
    Anon,
    Memcg,
}

impl Words for Kind {
    const WORDS: &'static [(&'static CStr, Self)] =
        &[(c"anon", Self::Anon), (c"memcg", Self::Memcg)];
}

/// `probes/<P>/filters/<F>/`
struct Filter {
    kind: Word<Kind>,
    matching: Switch,
    allow: Switch,
    path: Text,
}

impl Directory for Filter {
    fn files() -> &'static [File<Self>] {
        files!(Filter {
            rw c"type": |filter| &filter.kind;
            rw c"matching": |filter| &filter.matching;
            rw c"allow": |filter| &filter.allow;
            rw c"path": |filter| &filter.path;
        })
    }
}

impl Entry for Filter {
    type Common = ();

    fn list_files() -> &'static [File<Filters>] {
        files!(Filters {
            rw c"nr_filters": |filters| filters;
        })
    }

    fn new(_: Place<'_>, _: &Filters) -> Result<Self> {
        Ok(Self {
            kind: Word::new(),
            matching: Switch::new(false),
            allow: Switch::new(false),
            path: Text::new()?,
        })
    }
}
