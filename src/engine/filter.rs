// SPDX-License-Identifier: GPL-2.0

//! Filters: the memory that a scheme's action is for, of the memory that matches the scheme's
//! access pattern.
//!
//! Filters that need no access to pages are evaluated in the core layer, and first. Memory that
//! they do not reject is passed to the operations layer, which evaluates the other filters for each
//! page. In both layers the first filter that matches decides. Memory that no filter of a layer
//! matches gets the opposite of the last filter's decision, but in the core layer it is not
//! rejected if the operations layer has filters too.

pub(super) mod verdict;

use super::{
    pattern::MinMax,
    regions::region::AddrRange, //
};
use core::ffi::CStr;
use kernel::prelude::*;

/// The type of a filter: a [`FilterKind`] without its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterType {
    /// [`FilterKind::Anon`].
    Anon,
    /// [`FilterKind::Active`].
    Active,
    /// [`FilterKind::Memcg`].
    Memcg,
    /// [`FilterKind::Young`].
    Young,
    /// [`FilterKind::HugepageSize`].
    HugepageSize,
    /// [`FilterKind::Unmapped`].
    Unmapped,
    /// [`FilterKind::Addr`].
    Addr,
    /// [`FilterKind::Target`].
    Target,
}

impl FilterType {
    /// Returns the keyword of the type in the sysfs files.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::Anon => c"anon",
            Self::Active => c"active",
            Self::Memcg => c"memcg",
            Self::Young => c"young",
            Self::HugepageSize => c"hugepage_size",
            Self::Unmapped => c"unmapped",
            Self::Addr => c"addr",
            Self::Target => c"target",
        }
    }

    /// Returns whether the filter needs access to pages, so that the operations layer evaluates it.
    /// Corresponds to `damos_filter_for_ops()`.
    pub fn is_for_ops(self) -> bool {
        match self {
            Self::Addr | Self::Target => false,
            Self::Anon
            | Self::Active
            | Self::Memcg
            | Self::Young
            | Self::HugepageSize
            | Self::Unmapped => true,
        }
    }
}

/// The kind of memory that a filter matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterKind {
    /// Anonymous memory.
    Anon,
    /// Memory on an active LRU list.
    Active,
    /// Memory of the memory cgroup with this memcg ID. An ID is never reused.
    Memcg(u64),
    /// Memory that was accessed since the last check. The check clears that state.
    Young,
    /// Memory in folios with a size in this range, in bytes.
    HugepageSize(MinMax<u64>),
    /// Memory that is not mapped.
    Unmapped,
    /// An address range, in the unit of addresses.
    Addr(AddrRange),
    /// The target with this index.
    Target(usize),
}

impl FilterKind {
    /// Returns the type of the filter.
    pub const fn filter_type(self) -> FilterType {
        match self {
            Self::Anon => FilterType::Anon,
            Self::Active => FilterType::Active,
            Self::Memcg(_) => FilterType::Memcg,
            Self::Young => FilterType::Young,
            Self::HugepageSize(_) => FilterType::HugepageSize,
            Self::Unmapped => FilterType::Unmapped,
            Self::Addr(_) => FilterType::Addr,
            Self::Target(_) => FilterType::Target,
        }
    }
}

/// A filter of a scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter {
    /// The kind of memory.
    pub kind: FilterKind,
    /// `true`: the filter matches memory of the kind; `false`: all other memory.
    pub matching: bool,
    /// `true`: memory that matches is allowed; `false`: it is rejected.
    pub allow: bool,
}

/// The filters of a scheme.
///
/// ```
/// # use damon::engine::{AddrRange, Filter, FilterKind, Filters};
/// // Anonymous memory, but not in the first gigabyte.
/// let gigabyte = AddrRange { start: 0, end: 1 << 30 };
/// let filters = Filters::new(&[
///     Filter { kind: FilterKind::Anon, matching: true, allow: true },
///     Filter { kind: FilterKind::Addr(gigabyte), matching: true, allow: false },
/// ])?;
/// // The core layer evaluates the filter for addresses, and evaluates it first.
/// assert_eq!((filters.core().len(), filters.ops().len()), (1, 1));
/// // Memory that is not anonymous matches no filter. The last one of its layer allows, so it is
/// // rejected.
/// assert!(filters.ops_default_reject());
/// assert!(!filters.core_default_reject());
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `core` has the filters of the core layer, and `ops` those of the operations layer.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Filters {
    core: KVec<Filter>,
    ops: KVec<Filter>,
}

impl Filters {
    /// Creates the filters of `list`. Each layer keeps the order of the list. Fails with `ENOMEM`.
    pub fn new(list: &[Filter]) -> Result<Self> {
        let mut core = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        let mut ops = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        for filter in list {
            let layer = if filter.kind.filter_type().is_for_ops() {
                &mut ops
            } else {
                &mut core
            };
            layer.push_within_capacity(*filter)?;
        }
        Ok(Self { core, ops })
    }

    /// Returns the filters of the core layer.
    #[inline]
    pub fn core(&self) -> &[Filter] {
        &self.core
    }

    /// Returns the filters of the operations layer. They do not apply to memory that a filter of
    /// the core layer has allowed.
    #[inline]
    pub fn ops(&self) -> &[Filter] {
        &self.ops
    }

    /// Returns all filters in the order of their evaluation.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        // The method syntax would call another `chain`, which is in the kernel prelude.
        Iterator::chain(self.core.iter(), &self.ops)
    }

    /// Returns whether there is no filter.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.core.is_empty() && self.ops.is_empty()
    }

    /// Returns whether memory that no filter of the core layer matches is rejected. The decision is
    /// left to the operations layer if that has filters. Corresponds to
    /// `damos_set_filters_default_reject()`.
    pub fn core_default_reject(&self) -> bool {
        self.ops.is_empty() && rejects_by_default(&self.core)
    }

    /// Returns whether memory that no filter of the operations layer matches is rejected, unless a
    /// filter of the core layer has allowed it.
    pub fn ops_default_reject(&self) -> bool {
        rejects_by_default(&self.ops)
    }
}

/// Returns whether memory that no filter matches is rejected. Corresponds to
/// `damos_filters_default_reject()`: the default is the opposite of the last filter's.
fn rejects_by_default(filters: &[Filter]) -> bool {
    filters.last().is_some_and(|last| last.allow)
}

#[kunit_tests(damon_rs_filter)]
mod tests {
    use super::*;

    pub(super) const ALLOW: bool = true;
    pub(super) const REJECT: bool = false;

    /// Creates a filter, for the tests of filters.
    pub(super) fn filter(kind: FilterKind, matching: bool, allow: bool) -> Filter {
        Filter {
            kind,
            matching,
            allow,
        }
    }

    #[test]
    fn the_default_is_the_opposite_of_the_last_filter() -> Result {
        let defaults = |list: &[Filter]| -> Result<(bool, bool)> {
            let filters = Filters::new(list)?;
            Ok((filters.core_default_reject(), filters.ops_default_reject()))
        };
        let core = |allow| filter(FilterKind::Target(0), true, allow);
        let ops = |allow| filter(FilterKind::Anon, true, allow);
        assert_eq!(defaults(&[])?, (false, false));
        assert_eq!(defaults(&[core(ALLOW)])?, (true, false));
        assert_eq!(defaults(&[core(REJECT)])?, (false, false));
        assert_eq!(defaults(&[core(ALLOW), core(REJECT)])?, (false, false));
        // With filters of the operations layer, that layer decides.
        assert_eq!(defaults(&[core(ALLOW), ops(ALLOW)])?, (false, true));
        assert_eq!(defaults(&[core(REJECT), ops(ALLOW)])?, (false, true));
        assert_eq!(defaults(&[ops(REJECT), core(ALLOW)])?, (false, false));
        Ok(())
    }
}
