// SPDX-License-Identifier: GPL-2.0

//! Types that schemes, filters, quotas and operations share: an action, the access pattern of its
//! memory, and the outcome.

use super::regions::region::Region;
use core::ffi::CStr;
use kernel::prelude::*;

/// The action of a scheme. The operations decide which actions an address space supports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Calls `madvise()` with `MADV_WILLNEED`.
    Willneed,
    /// Calls `madvise()` with `MADV_COLD`.
    Cold,
    /// Reclaims the memory.
    Pageout,
    /// Calls `madvise()` with `MADV_HUGEPAGE`.
    Hugepage,
    /// Calls `madvise()` with `MADV_NOHUGEPAGE`.
    Nohugepage,
    /// Calls `madvise()` with `MADV_COLLAPSE`.
    Collapse,
    /// Prioritizes the memory on its LRU lists.
    LruPrio,
    /// Deprioritizes the memory on its LRU lists.
    LruDeprio,
    /// Migrates the memory to other nodes, hotter regions first.
    MigrateHot,
    /// Migrates the memory to other nodes, colder regions first.
    MigrateCold,
    /// Only counts the memory in the statistics.
    Stat,
}

impl Action {
    /// Returns the keyword of the action in the sysfs files.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::Willneed => c"willneed",
            Self::Cold => c"cold",
            Self::Pageout => c"pageout",
            Self::Hugepage => c"hugepage",
            Self::Nohugepage => c"nohugepage",
            Self::Collapse => c"collapse",
            Self::LruPrio => c"lru_prio",
            Self::LruDeprio => c"lru_deprio",
            Self::MigrateHot => c"migrate_hot",
            Self::MigrateCold => c"migrate_cold",
            Self::Stat => c"stat",
        }
    }
}

/// A range of values that includes both ends. It is empty if `min > max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MinMax<T> {
    /// The smallest value.
    pub min: T,
    /// The largest value.
    pub max: T,
}

impl<T: PartialOrd> MinMax<T> {
    /// Returns whether `value` is in the range.
    #[inline]
    pub fn contains(&self, value: T) -> bool {
        self.min <= value && value <= self.max
    }
}

/// The access pattern of the regions that a scheme is for.
///
/// ```
/// # use damon::engine::{AccessPattern, MinMax};
/// // Regions without an access for at least 50 aggregation intervals.
/// let cold = AccessPattern {
///     nr_accesses: MinMax { min: 0, max: 0 },
///     age: MinMax { min: 50, max: u32::MAX },
///     ..AccessPattern::ANY
/// };
/// assert!(cold.age.contains(50) && !cold.age.contains(49));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessPattern {
    /// Size of a region, in the unit of addresses.
    pub sz: MinMax<u64>,
    /// Accesses in an aggregation interval, in samples: the access rate.
    pub nr_accesses: MinMax<u32>,
    /// Age, in aggregation intervals: for how long the access rate has been about the same.
    pub age: MinMax<u32>,
}

impl AccessPattern {
    /// The pattern that all regions match.
    pub const ANY: Self = Self {
        sz: MinMax {
            min: 0,
            max: u64::MAX,
        },
        nr_accesses: MinMax {
            min: 0,
            max: u32::MAX,
        },
        age: MinMax {
            min: 0,
            max: u32::MAX,
        },
    };

    /// Returns whether `region` has this access pattern. `nr_accesses` is its access rate, usually
    /// the pseudo moving sum ([`Region::recent_nr_accesses`]), as in `__damos_valid_target()`.
    #[inline]
    pub fn matches(&self, region: &Region, nr_accesses: u32) -> bool {
        self.sz.contains(region.size())
            && self.nr_accesses.contains(nr_accesses)
            && self.age.contains(region.age())
    }
}

/// The outcome of a scheme's action on a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Size of the memory that the action took effect on, in the unit of addresses.
    pub bytes: u64,
    /// Size of the memory that passed the filters of the operations layer, in the unit of
    /// addresses.
    pub filter_passed: u64,
}

#[kunit_tests(damon_rs_pattern)]
mod tests {
    use super::{
        super::regions::region::tests::region,
        *, //
    };

    #[test]
    fn matches_with_both_ends() -> Result {
        let pattern = AccessPattern {
            sz: MinMax { min: 10, max: 20 },
            nr_accesses: MinMax { min: 1, max: 3 },
            age: MinMax { min: 5, max: 6 },
        };
        assert!(pattern.matches(&region(0, 10, 1, 0, 5)?, 1));
        assert!(pattern.matches(&region(0, 20, 3, 0, 6)?, 3));
        assert!(!pattern.matches(&region(0, 9, 1, 0, 5)?, 1));
        assert!(!pattern.matches(&region(0, 21, 1, 0, 5)?, 1));
        assert!(!pattern.matches(&region(0, 10, 0, 0, 5)?, 0));
        assert!(!pattern.matches(&region(0, 10, 4, 0, 5)?, 4));
        assert!(!pattern.matches(&region(0, 10, 1, 0, 4)?, 1));
        assert!(!pattern.matches(&region(0, 10, 1, 0, 7)?, 1));
        Ok(())
    }
}
