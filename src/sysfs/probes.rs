// SPDX-License-Identifier: GPL-2.0

//! `probes/`: data attributes of pages that are probed for at each sample.

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
        List, //
    },
    values::{
        Flag,
        Number,
        Text,
        Word,
        Words, //
    },
};
use crate::engine::{
    self,
    Attribute,
    ProbeFilter, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// `probes/`
pub(super) type ProbesDir = List<ProbeDir>;

impl ProbesDir {
    /// Builds the list of probes from the files.
    ///
    /// Sleeps. Fails with `EINVAL` if no memory control group has the given path, with `EOPNOTSUPP`
    /// if the module cannot iterate over the groups of this kernel, and with `ENOMEM`.
    pub(super) fn params(&self) -> Result<engine::Probes> {
        let mut probes = KVec::with_capacity(self.dirs.len(), GFP_KERNEL)?;
        for probe in self.dirs.iter() {
            probes.push_within_capacity(engine::Probe {
                weight: probe.weight.get(),
                filters: probe.filters.params()?,
            })?;
        }
        engine::Probes::try_from(probes)
    }
}

/// `probes/<P>/`
pub(super) struct ProbeDir {
    weight: Number<u32>,
    filters: Dir<FiltersDir>,
}

impl Directory for ProbeDir {
    fn files() -> &'static [File<Self>] {
        files!(ProbeDir {
            rw c"weight": |probe| &probe.weight;
        })
    }
}

impl Entry for ProbeDir {
    type Common = ();

    /// Maximum number of probes: a region counts the hits of up to four.
    const LIMIT: usize = 4;

    fn list_files() -> &'static [File<ProbesDir>] {
        files!(ProbesDir {
            rw c"nr_probes": |probes| probes;
        })
    }

    fn new(place: Place<'_>, list: &ProbesDir) -> Result<Self> {
        Ok(Self {
            weight: Number::new(0),
            filters: Dir::new(place, c"filters", |_| List::new(&list.structure, ()))?,
        })
    }
}

/// `probes/<P>/filters/`
type FiltersDir = List<FilterDir>;

impl FiltersDir {
    fn params(&self) -> Result<KVec<ProbeFilter>> {
        let mut filters = KVec::with_capacity(self.dirs.len(), GFP_KERNEL | __GFP_NOWARN)?;
        for filter in self.dirs.iter() {
            filters.push_within_capacity(filter.params()?)?;
        }
        Ok(filters)
    }
}

/// The type of a filter of a probe.
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
struct FilterDir {
    kind: Word<Kind>,
    matching: Flag,
    allow: Flag,
    path: Text,
}

impl FilterDir {
    fn params(&self) -> Result<ProbeFilter> {
        let attribute = match self.kind.get()? {
            Kind::Anon => Attribute::Anon,
            Kind::Memcg => Attribute::Memcg(existing_memcg(
                &self.path.get()?,
                "probes/<P>/filters/<F>/path",
            )?),
        };
        Ok(ProbeFilter {
            attribute,
            matching: self.matching.get(),
            allow: self.allow.get(),
        })
    }
}

impl Directory for FilterDir {
    fn files() -> &'static [File<Self>] {
        files!(FilterDir {
            rw c"type": |filter| &filter.kind;
            rw c"matching": |filter| &filter.matching;
            rw c"allow": |filter| &filter.allow;
            rw c"path": |filter| &filter.path;
        })
    }
}

impl Entry for FilterDir {
    type Common = ();

    fn list_files() -> &'static [File<FiltersDir>] {
        files!(FiltersDir {
            rw c"nr_filters": |filters| filters;
        })
    }

    fn new(_: Place<'_>, _: &FiltersDir) -> Result<Self> {
        Ok(Self {
            kind: Word::new(),
            matching: Flag::new(false),
            allow: Flag::new(false),
            path: Text::new()?,
        })
    }
}
