// SPDX-License-Identifier: GPL-2.0

//! What schemes, filters, quotas and operations have in common: an action, the memory it is for, and
//! its outcome.

use super::regions::region::Region;
use core::ffi::CStr;
use kernel::prelude::*;

/// What a scheme does with memory. Which of them an address space can do is up to its operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// `madvise()` with `MADV_WILLNEED`.
    Willneed,
    /// `madvise()` with `MADV_COLD`.
    Cold,
    /// Reclaim.
    Pageout,
    /// `madvise()` with `MADV_HUGEPAGE`.
    Hugepage,
    /// `madvise()` with `MADV_NOHUGEPAGE`.
    Nohugepage,
    /// `madvise()` with `MADV_COLLAPSE`.
    Collapse,
    /// Move up on the LRU lists.
    LruPrio,
    /// Move down on the LRU lists.
    LruDeprio,
    /// Migrate, the warmest first.
    MigrateHot,
    /// Migrate, the coldest first.
    MigrateCold,
    /// Count and show, change nothing.
    Stat,
}

impl Action {
    /// The word for it in the files of users.
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

/// A range of values with both ends in it. Nothing is in it if `min > max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MinMax<T> {
    /// The smallest value.
    pub min: T,
    /// The largest value.
    pub max: T,
}

impl<T: PartialOrd> MinMax<T> {
    /// Whether `value` is in the range.
    #[inline]
    pub fn contains(&self, value: T) -> bool {
        self.min <= value && value <= self.max
    }
}

/// Which memory a scheme is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessPattern {
    /// Size of a region.
    pub sz: MinMax<u64>,
    /// Accesses in an aggregation interval.
    pub nr_accesses: MinMax<u32>,
    /// Aggregation intervals for which the accesses have stayed alike.
    pub age: MinMax<u32>,
}

impl AccessPattern {
    /// Whether `region` is accessed by this pattern.
    #[inline]
    pub fn matches(&self, region: &Region) -> bool {
        self.sz.contains(region.size())
            && self.nr_accesses.contains(region.nr_accesses_bp() / 10_000)
            && self.age.contains(region.age())
    }
}

/// Outcome of a scheme's action on a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Bytes that the action took effect on.
    pub bytes: u64,
    /// Bytes that passed the filters that the operations look at.
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
        assert!(pattern.matches(&region(0, 10, 1, 0, 5)?));
        assert!(pattern.matches(&region(0, 20, 3, 0, 6)?));
        assert!(!pattern.matches(&region(0, 9, 1, 0, 5)?));
        assert!(!pattern.matches(&region(0, 21, 1, 0, 5)?));
        assert!(!pattern.matches(&region(0, 10, 0, 0, 5)?));
        assert!(!pattern.matches(&region(0, 10, 4, 0, 5)?));
        assert!(!pattern.matches(&region(0, 10, 1, 0, 4)?));
        assert!(!pattern.matches(&region(0, 10, 1, 0, 7)?));
        Ok(())
    }
}
