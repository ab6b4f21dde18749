// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/{core_filters,ops_filters,filters}/`: filters that allow or reject memory for the
//! action of a scheme.

use super::{
    existing_memcg,
    kobject::{
        files,
        Directory,
        File,
        Input,
        Page,
        Place,
        Value, //
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
use crate::{
    engine::{
        self,
        AddrRange,
        FilterKind,
        FilterType,
        MinMax, //
    },
    glue::log::Because, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// The layer that evaluates the filters of a directory.
#[derive(Clone, Copy)]
pub(super) enum Layer {
    /// The core layer, for filters that depend only on addresses and targets.
    Core,
    /// The operations layer, for filters that depend on pages.
    Ops,
    /// For each filter, the layer that can evaluate its type.
    Any,
}

impl Layer {
    /// Returns the name of the directory.
    pub(super) const fn name(self) -> &'static CStr {
        match self {
            Self::Core => c"core_filters",
            Self::Ops => c"ops_filters",
            Self::Any => c"filters",
        }
    }

    /// Returns whether a filter in the directory may have this type.
    fn takes(self, kind: FilterType) -> bool {
        match self {
            Self::Core => !kind.is_for_ops(),
            Self::Ops => kind.is_for_ops(),
            Self::Any => true,
        }
    }
}

/// `{core_filters,ops_filters,filters}/`
pub(super) type FiltersDir = List<FilterDir>;

/// Builds the list of filters from these directories, in their order.
///
/// Sleeps. Fails with `EINVAL` if a range ends before it starts or no memory control group has the
/// given path, with `EOPNOTSUPP` if the module cannot iterate over the groups of this kernel, and
/// with `ENOMEM`.
pub(super) fn params<'a>(
    dirs: impl Iterator<Item = &'a FiltersDir> + Clone,
) -> Result<engine::Filters> {
    // If a list grows after it was counted, `push_within_capacity` fails.
    let nr = dirs
        .clone()
        .fold(0, |sum: usize, dir| sum.saturating_add(dir.dirs.len()));
    let mut list = KVec::with_capacity(nr, GFP_KERNEL | __GFP_NOWARN)?;
    for dir in dirs {
        for filter in dir.dirs.iter() {
            list.push_within_capacity(filter.params()?)?;
        }
    }
    engine::Filters::new(&list)
}

impl Words for FilterType {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (Self::Anon.name(), Self::Anon),
        (Self::Active.name(), Self::Active),
        (Self::Memcg.name(), Self::Memcg),
        (Self::Young.name(), Self::Young),
        (Self::HugepageSize.name(), Self::HugepageSize),
        (Self::Unmapped.name(), Self::Unmapped),
        (Self::Addr.name(), Self::Addr),
        (Self::Target.name(), Self::Target),
    ];
}

/// The file `type`. A store of a type that `layer` cannot evaluate fails with `EINVAL`. The initial
/// type is `anon` in all layers.
struct Type {
    kind: Word<FilterType>,
    layer: Layer,
}

impl Value for Type {
    fn show(&self, page: &mut Page<'_>) -> Result {
        self.kind.show(page)
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.kind.store_if(input, |kind| self.layer.takes(kind))
    }
}

/// `filters/<F>/`
pub(super) struct FilterDir {
    kind: Type,
    matching: Flag,
    allow: Flag,
    memcg_path: Text,
    addr_start: Number<u64>,
    addr_end: Number<u64>,
    min: Number<u64>,
    max: Number<u64>,
    damon_target_idx: Number<i32>,
}

impl FilterDir {
    fn params(&self) -> Result<engine::Filter> {
        let kind = match self.kind.kind.get()? {
            FilterType::Anon => FilterKind::Anon,
            FilterType::Active => FilterKind::Active,
            FilterType::Memcg => FilterKind::Memcg(existing_memcg(
                &self.memcg_path.get()?,
                "filters/<F>/memcg_path",
            )?),
            FilterType::Young => FilterKind::Young,
            FilterType::HugepageSize => {
                let (min, max) = ordered(self.min.get(), self.max.get())
                    .because("filters/<F>: max is below min")?;
                FilterKind::HugepageSize(MinMax { min, max })
            }
            FilterType::Unmapped => FilterKind::Unmapped,
            FilterType::Addr => {
                let (start, end) = ordered(self.addr_start.get(), self.addr_end.get())
                    .because("filters/<F>: addr_end is below addr_start")?;
                FilterKind::Addr(AddrRange { start, end })
            }
            // A negative index matches no target. Nor does `usize::MAX`.
            FilterType::Target => FilterKind::Target(
                usize::try_from(self.damon_target_idx.get()).unwrap_or(usize::MAX),
            ),
        };
        Ok(engine::Filter {
            kind,
            matching: self.matching.get(),
            allow: self.allow.get(),
        })
    }
}

/// Returns both ends of a range. Fails with `EINVAL` if the end is below the start.
fn ordered(start: u64, end: u64) -> Result<(u64, u64)> {
    if start <= end {
        Ok((start, end))
    } else {
        Err(EINVAL)
    }
}

impl Directory for FilterDir {
    fn files() -> &'static [File<Self>] {
        files!(FilterDir {
            rw c"type": |filter| &filter.kind;
            rw c"matching": |filter| &filter.matching;
            rw c"allow": |filter| &filter.allow;
            rw c"memcg_path": |filter| &filter.memcg_path;
            rw c"addr_start": |filter| &filter.addr_start;
            rw c"addr_end": |filter| &filter.addr_end;
            rw c"min": |filter| &filter.min;
            rw c"max": |filter| &filter.max;
            rw c"damon_target_idx": |filter| &filter.damon_target_idx;
        })
    }
}

impl Entry for FilterDir {
    type Common = Layer;

    fn list_files() -> &'static [File<FiltersDir>] {
        files!(FiltersDir {
            rw c"nr_filters": |filters| filters;
        })
    }

    fn new(_: Place<'_>, list: &FiltersDir) -> Result<Self> {
        Ok(Self {
            kind: Type {
                kind: Word::new(),
                layer: list.common,
            },
            matching: Flag::new(false),
            allow: Flag::new(false),
            memcg_path: Text::new()?,
            addr_start: Number::new(0),
            addr_end: Number::new(0),
            min: Number::new(0),
            max: Number::new(0),
            damon_target_idx: Number::new(0),
        })
    }
}

#[kunit_tests(damon_rs_sysfs_filters)]
mod tests {
    use super::*;

    #[test]
    fn a_range_does_not_end_before_it_starts() {
        assert_eq!(ordered(3, 3), Ok((3, 3)));
        assert_eq!(ordered(0, u64::MAX), Ok((0, u64::MAX)));
        assert_eq!(ordered(4, 3), Err(EINVAL));
    }

    #[test]
    fn a_layer_takes_what_it_can_decide() {
        for (_, kind) in FilterType::WORDS {
            assert!(Layer::Any.takes(*kind));
            assert!(Layer::Core.takes(*kind) != Layer::Ops.takes(*kind));
        }
        assert!(Layer::Core.takes(FilterType::Addr));
        assert!(Layer::Core.takes(FilterType::Target));
        assert!(Layer::Ops.takes(FilterType::Young));
    }
}
