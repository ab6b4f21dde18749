// SPDX-License-Identifier: GPL-2.0

//! The decision of the core layer's filters on addresses.

use super::{
    super::num::MinRegionSize,
    FilterKind,
    Filters, //
};
use kernel::prelude::*;

/// The result of the core layer's filters for the first addresses of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    /// End of the addresses that the result holds for, exclusive.
    pub(crate) end: u64,
    /// The addresses are rejected.
    pub(crate) rejected: bool,
    /// A filter has allowed the addresses, so that the filters of the operations layer do not
    /// apply.
    pub(crate) allowed: bool,
}

impl Filters {
    /// Returns the result for the addresses from `start` up to `end`, or up to the address from
    /// which the result differs. Boundaries of ranges are aligned to `min_region_sz`.
    // Out of line: it runs rarely, and inlined it would take registers from the hot path.
    #[inline(never)]
    fn decide(&self, target: usize, start: u64, end: u64, min_region_sz: MinRegionSize) -> Verdict {
        let mut end = end;
        for filter in &self.core {
            let is = match filter.kind {
                FilterKind::Target(index) => index == target,
                FilterKind::Addr(range) => {
                    let (from, to) = (
                        min_region_sz.down(range.start),
                        min_region_sz.down(range.end),
                    );
                    if end <= from || to <= start {
                        false
                    } else if start < from {
                        end = from;
                        false
                    } else {
                        end = end.min(to);
                        true
                    }
                }
                // The operations layer evaluates these.
                FilterKind::Anon
                | FilterKind::Active
                | FilterKind::Memcg(_)
                | FilterKind::Young
                | FilterKind::HugepageSize(_)
                | FilterKind::Unmapped => continue,
            };
            if is == filter.matching {
                return Verdict {
                    end,
                    rejected: !filter.allow,
                    allowed: filter.allow,
                };
            }
        }
        Verdict {
            end,
            rejected: self.core_default_reject(),
            allowed: false,
        }
    }
}

/// The result of the core layer's filters for the addresses of a target, cached for as long as it
/// holds: most regions lie in the same range as the one before.
///
/// The cache must be created anew for each target and after each change of the filters. It must be
/// queried with ascending addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct VerdictCache(Verdict);

impl VerdictCache {
    /// Returns whether no filter rejects the addresses up to `end`, from the address that
    /// [`Self::decide`] was last called with. Also `false` if the cached verdict ends before `end`.
    #[inline]
    pub(crate) fn passes(&self, end: u64) -> bool {
        end <= self.0.end && !self.0.rejected
    }

    /// Returns the result of `filters` for the addresses from `start`, up to the address from which
    /// the result differs.
    #[inline]
    pub(crate) fn decide(
        &mut self,
        filters: &Filters,
        target: usize,
        start: u64,
        min_region_sz: MinRegionSize,
    ) -> Verdict {
        // The result of each filter is constant from the address of the last query up to the end of
        // the verdict.
        if self.0.end <= start {
            self.0 = filters.decide(target, start, u64::MAX, min_region_sz);
        }
        self.0
    }

    /// Returns how many of the addresses from `start` up to `end` are not rejected.
    // Out of line: it runs rarely, and inlined it would take registers from the hot path.
    #[inline(never)]
    pub(crate) fn size_passed(
        &mut self,
        filters: &Filters,
        target: usize,
        start: u64,
        end: u64,
        min_region_sz: MinRegionSize,
    ) -> u64 {
        let (mut start, mut passed): (u64, u64) = (start, 0);
        while start < end {
            let verdict = self.decide(filters, target, start, min_region_sz);
            let stop = verdict.end.min(end);
            if !verdict.rejected {
                passed = passed.saturating_add(stop.saturating_sub(start));
            }
            if stop <= start {
                break;
            }
            start = stop;
        }
        passed
    }
}

#[kunit_tests(damon_rs_filter_verdict)]
mod tests {
    use super::{
        super::{
            super::{
                rand::Rng,
                regions::region::AddrRange, //
            },
            tests::{
                filter,
                ALLOW,
                REJECT, //
            },
            Filter, //
        },
        *, //
    };

    fn addr(start: u64, end: u64) -> FilterKind {
        FilterKind::Addr(AddrRange { start, end })
    }

    /// Returns the results for `[0, 100)`: the end of each, and whether its addresses are rejected.
    fn pieces(list: &[Filter], min_region_sz: u64) -> Result<KVec<(u64, bool)>> {
        let (filters, min_region_sz) =
            (Filters::new(list)?, MinRegionSize::try_from(min_region_sz)?);
        let mut pieces = KVec::new();
        let mut start = 0;
        while start < 100 {
            let verdict = filters.decide(0, start, 100, min_region_sz);
            assert!(verdict.end > start && verdict.end <= 100);
            assert!(!(verdict.rejected && verdict.allowed));
            start = verdict.end;
            pieces.push((verdict.end, verdict.rejected), GFP_KERNEL)?;
        }
        let passed = VerdictCache::default().size_passed(&filters, 0, 0, 100, min_region_sz);
        let mut sum = 0;
        let mut from = 0;
        for (end, rejected) in &pieces {
            if !rejected {
                sum += end - from;
            }
            from = *end;
        }
        assert_eq!(passed, sum);
        Ok(pieces)
    }

    #[test]
    fn a_region_in_part_of_a_range_is_cut() -> Result {
        let filters = Filters::new(&[filter(addr(2, 6), true, REJECT)])?;
        let decide = |start, end| -> Result<(u64, bool)> {
            let verdict = filters.decide(0, start, end, MinRegionSize::try_from(1)?);
            Ok((verdict.end, verdict.rejected))
        };
        assert_eq!(decide(3, 5)?, (5, true));
        assert_eq!(decide(1, 2)?, (2, false));
        assert_eq!(decide(6, 8)?, (8, false));
        assert_eq!(decide(1, 4)?, (2, false));
        assert_eq!(decide(2, 8)?, (6, true));
        Ok(())
    }

    #[test]
    fn the_verdict_cache_agrees_with_the_filters() -> Result {
        let (mut rng, min_region_sz) = (Rng::new(5), MinRegionSize::try_from(4)?);
        for _ in 0..200 {
            let mut list = KVec::new();
            for _ in 0..rng.range(0, 5) {
                let start = rng.range(0, 100);
                let kind = match rng.range(0, 4) {
                    0 => FilterKind::Target(usize::from(rng.range(0, 2) == 0)),
                    1 => FilterKind::Anon,
                    _ => addr(start, start + rng.range(0, 40)),
                };
                let (matching, allow) = (rng.range(0, 2) == 0, rng.range(0, 2) == 0);
                list.push(filter(kind, matching, allow), GFP_KERNEL)?;
            }
            let filters = Filters::new(&list)?;
            let (mut verdicts, mut target, mut start) = (VerdictCache::default(), 0, 0);
            for _ in 0..100 {
                start += rng.range(0, 12);
                if start > 140 {
                    (verdicts, target, start) = (VerdictCache::default(), 1 - target, 0);
                }
                let end = rng.range(start, 150) + 1;
                let (evaluated, kept) = (
                    filters.decide(target, start, end, min_region_sz),
                    verdicts.decide(&filters, target, start, min_region_sz),
                );
                assert!(kept.end > start);
                let end = kept.end.min(end);
                assert_eq!(evaluated, Verdict { end, ..kept });
            }
        }
        Ok(())
    }

    #[test]
    fn a_range_of_addresses_cuts() -> Result {
        let reject = filter(addr(20, 30), true, REJECT);
        assert_eq!(
            pieces(&[reject], 1)?,
            &[(20, false), (30, true), (100, false)][..]
        );
        let allow = filter(addr(20, 30), true, ALLOW);
        assert_eq!(
            pieces(&[allow], 1)?,
            &[(20, true), (30, false), (100, true)][..]
        );
        // Boundaries are aligned to `min_region_sz`.
        assert_eq!(pieces(&[allow], 16)?, &[(16, true), (100, true)][..]);
        let not = filter(addr(0, 50), false, REJECT);
        assert_eq!(pieces(&[not], 1)?, &[(50, false), (100, true)][..]);
        // An empty range matches no address.
        let none = filter(addr(40, 40), true, ALLOW);
        assert_eq!(pieces(&[none], 1)?, &[(40, true), (100, true)][..]);
        Ok(())
    }

    #[test]
    fn the_first_filter_that_matches_decides() -> Result {
        let inner = filter(addr(40, 60), true, ALLOW);
        let outer = filter(addr(20, 80), true, REJECT);
        assert_eq!(
            pieces(&[inner, outer], 1)?,
            &[
                (20, false),
                (40, true),
                (60, false),
                (80, true),
                (100, false)
            ][..]
        );
        assert_eq!(
            pieces(&[outer, inner], 1)?,
            &[(20, true), (80, true), (100, true)][..]
        );
        Ok(())
    }

    #[test]
    fn a_target_is_identified_by_its_position() -> Result {
        let rejected = |filters: &Filters, target| -> Result<bool> {
            Ok(filters
                .decide(target, 0, 10, MinRegionSize::try_from(1)?)
                .rejected)
        };
        let only = Filters::new(&[filter(FilterKind::Target(1), true, ALLOW)])?;
        assert!(rejected(&only, 0)? && !rejected(&only, 1)? && rejected(&only, 2)?);
        let but = Filters::new(&[filter(FilterKind::Target(1), true, REJECT)])?;
        assert!(!rejected(&but, 0)? && rejected(&but, 1)?);
        let none = Filters::new(&[filter(FilterKind::Target(usize::MAX), true, ALLOW)])?;
        assert!(rejected(&none, 0)?);
        Ok(())
    }

    #[test]
    fn the_verdict_marks_what_a_core_filter_allows() -> Result {
        let filters = Filters::new(&[
            filter(FilterKind::Anon, true, REJECT),
            filter(FilterKind::Target(0), true, ALLOW),
            filter(FilterKind::Young, true, ALLOW),
        ])?;
        assert_eq!((filters.core().len(), filters.ops().len()), (1, 2));
        assert!(filters.ops_default_reject());
        let verdict = filters.decide(0, 0, 10, MinRegionSize::try_from(1)?);
        assert!(verdict.allowed);
        let verdict = filters.decide(1, 0, 10, MinRegionSize::try_from(1)?);
        assert!(!verdict.allowed && !verdict.rejected);
        Ok(())
    }
}
