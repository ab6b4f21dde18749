// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/{core_filters,ops_filters,filters}/`: what memory an action is to spare.

use super::{
    known_memcg,
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
        Number,
        Switch,
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
        MinMax, //
    },
    mm::log::Because,
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// Who looks at the filters of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// The core layer: it needs no look at pages.
    Core,
    /// The operations.
    Ops,
    /// The one that can.
    Any,
}

impl Layer {
    /// The name of the directory.
    pub(super) const fn name(self) -> &'static CStr {
        match self {
            Self::Core => c"core_filters",
            Self::Ops => c"ops_filters",
            Self::Any => c"filters",
        }
    }

    fn takes(self, kind: Kind) -> bool {
        self == Self::Any || self == kind.layer()
    }
}

/// `{core_filters,ops_filters,filters}/`
pub(super) type Filters = List<Filter>;

/// The filters that are asked for in these directories, in their order.
///
/// Fails with `EINVAL` if a range ends before it starts or there is no memory control group of a
/// given path, with `EOPNOTSUPP` if this kernel's groups cannot be looked at, and with `ENOMEM`.
pub(super) fn params<'a>(
    dirs: impl Iterator<Item = &'a Filters> + Clone,
) -> Result<engine::Filters> {
    // A list may grow after it was counted; what does not fit is an error then.
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

/// What memory a filter is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Anon,
    Active,
    Memcg,
    Young,
    HugepageSize,
    Unmapped,
    Addr,
    Target,
}

impl Kind {
    fn layer(self) -> Layer {
        match self {
            Self::Addr | Self::Target => Layer::Core,
            Self::Anon
            | Self::Active
            | Self::Memcg
            | Self::Young
            | Self::HugepageSize
            | Self::Unmapped => Layer::Ops,
        }
    }
}

impl Words for Kind {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (c"anon", Self::Anon),
        (c"active", Self::Active),
        (c"memcg", Self::Memcg),
        (c"young", Self::Young),
        (c"hugepage_size", Self::HugepageSize),
        (c"unmapped", Self::Unmapped),
        (c"addr", Self::Addr),
        (c"target", Self::Target),
    ];
}

/// A kind that the directory's layer takes. Starts as `anon` in all of them.
struct Type {
    kind: Word<Kind>,
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
pub(super) struct Filter {
    kind: Type,
    matching: Switch,
    allow: Switch,
    memcg_path: Text,
    addr_start: Number<u64>,
    addr_end: Number<u64>,
    min: Number<u64>,
    max: Number<u64>,
    damon_target_idx: Number<i32>,
}

impl Filter {
    fn params(&self) -> Result<engine::Filter> {
        let kind = match self.kind.kind.get()? {
            Kind::Anon => FilterKind::Anon,
            Kind::Active => FilterKind::Active,
            Kind::Memcg => FilterKind::Memcg(known_memcg(
                &self.memcg_path.get()?,
                "filters/<F>/memcg_path",
            )?),
            Kind::Young => FilterKind::Young,
            Kind::HugepageSize => {
                let (min, max) = ordered(self.min.get(), self.max.get())
                    .because("filters/<F>: max is below min")?;
                FilterKind::HugepageSize(MinMax { min, max })
            }
            Kind::Unmapped => FilterKind::Unmapped,
            Kind::Addr => {
                let (start, end) = ordered(self.addr_start.get(), self.addr_end.get())
                    .because("filters/<F>: addr_end is below addr_start")?;
                FilterKind::Addr(AddrRange { start, end })
            }
            // A number below zero is no target's, as is one that is too large.
            Kind::Target => FilterKind::Target(
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

/// Both ends of a range; `EINVAL` if it ends before it starts.
fn ordered(start: u64, end: u64) -> Result<(u64, u64)> {
    match start <= end {
        true => Ok((start, end)),
        false => Err(EINVAL),
    }
}

impl Directory for Filter {
    fn files() -> &'static [File<Self>] {
        files!(Filter {
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

impl Entry for Filter {
    type Common = Layer;

    fn list_files() -> &'static [File<Filters>] {
        files!(Filters {
            rw c"nr_filters": |filters| filters;
        })
    }

    fn new(_: Place<'_>, list: &Filters) -> Result<Self> {
        Ok(Self {
            kind: Type {
                kind: Word::new(),
                layer: list.common,
            },
            matching: Switch::new(false),
            allow: Switch::new(false),
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
        for (_, kind) in Kind::WORDS {
            assert!(Layer::Any.takes(*kind));
            assert!(Layer::Core.takes(*kind) != Layer::Ops.takes(*kind));
        }
        assert!(Layer::Core.takes(Kind::Addr));
        assert!(Layer::Core.takes(Kind::Target));
        assert!(Layer::Ops.takes(Kind::Young));
    }
}
