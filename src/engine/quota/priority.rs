// SPDX-License-Identifier: GPL-2.0

//! Prioritization: the regions that an action is applied to first if the quota does not allow for
//! all of them.
//!
//! Each region has a score for the action: how hot it is, or how cold. The sizes of the regions are
//! added up by score. The priority threshold is the highest score for which the regions with that
//! score or a higher one fill the quota.

use super::{
    super::{
        attrs::Attrs,
        num::mul_div,
        pattern::Action, //
    },
    Weights, //
};
use kernel::prelude::*;

/// The highest score.
pub(crate) const MAX_SCORE: u32 = 99;

/// Number of scores.
const NR_SCORES: usize = 100;

/// The largest value of a component of a score.
const MAX_PART: u64 = 100;

/// Limit of the logarithm of an age: no age counts more than 2^32 seconds.
const MAX_AGE_LOG: u64 = 32;

/// Returns the priority of an action on a region with this access rate and age, from 0 to
/// [`MAX_SCORE`]. Corresponds to
/// `get_scheme_score` of the operations in `mm/damon/`.
pub(crate) fn score(
    attrs: &Attrs,
    weights: &Weights,
    action: Action,
    nr_accesses: u32,
    age: u32,
) -> u32 {
    let hotness = || hotness(attrs, weights, nr_accesses, age);
    match action {
        Action::LruPrio | Action::MigrateHot => hotness(),
        Action::Pageout | Action::LruDeprio | Action::MigrateCold => {
            MAX_SCORE.saturating_sub(hotness())
        }
        Action::Willneed
        | Action::Cold
        | Action::Hugepage
        | Action::Nohugepage
        | Action::Collapse
        | Action::Stat => MAX_SCORE,
    }
}

/// Computes the scores of many regions for one scheme.
pub(crate) struct Scorer<'a> {
    attrs: &'a Attrs,
    weights: &'a Weights,
    action: Action,
    /// Access rate and age of the last region, and its score.
    last: Option<((u32, u32), u32)>,
}

impl<'a> Scorer<'a> {
    pub(crate) fn new(attrs: &'a Attrs, weights: &'a Weights, action: Action) -> Self {
        Self {
            attrs,
            weights,
            action,
            last: None,
        }
    }

    /// Returns [`score`]. The result is cached, because many adjacent regions are idle and of the
    /// same age.
    pub(crate) fn score(&mut self, nr_accesses: u32, age: u32) -> u32 {
        let heat = (nr_accesses, age);
        match self.last {
            Some((last, score)) if last == heat => score,
            _ => {
                let score = score(self.attrs, self.weights, self.action, nr_accesses, age);
                self.last = Some((heat, score));
                score
            }
        }
    }
}

/// Returns how hot a region is: the more often and the longer it has been accessed, the hotter; the
/// longer it has been idle, the colder. Corresponds to `damon_hot_score()`.
fn hotness(attrs: &Attrs, weights: &Weights, nr_accesses: u32, age: u32) -> u32 {
    let max = u64::from(attrs.max_nr_accesses()).max(1);
    let frequency = mul_div(u64::from(nr_accesses), MAX_PART, max).min(MAX_PART);

    let seconds = mul_div(u64::from(age), attrs.aggr().0, 1_000_000);
    let log = seconds
        .checked_ilog2()
        .map_or(0, |log| u64::from(log).saturating_add(1))
        .min(MAX_AGE_LOG);
    // The age of an idle region makes it colder.
    let level = match frequency {
        0 => MAX_AGE_LOG.saturating_sub(log),
        _ => MAX_AGE_LOG.saturating_add(log),
    };
    let age = level.saturating_mul(MAX_PART) / (2 * MAX_AGE_LOG);

    let (by_frequency, by_age) = (u64::from(weights.nr_accesses), u64::from(weights.age));
    let sum = by_frequency
        .saturating_mul(frequency)
        .saturating_add(by_age.saturating_mul(age));
    // Without weights all regions have the same score.
    let mean = sum
        .checked_div(by_frequency.saturating_add(by_age))
        .unwrap_or(0);
    let hotness = mean.saturating_mul(u64::from(MAX_SCORE)) / MAX_PART;
    u32::try_from(hotness).map_or(MAX_SCORE, |hotness| hotness.min(MAX_SCORE))
}

/// Sizes of regions by score.
pub(crate) struct Histogram([u64; NR_SCORES]);

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self([0; NR_SCORES])
    }

    pub(crate) fn add(&mut self, score: u32, size: u64) {
        let place = usize::try_from(score)
            .ok()
            .and_then(|at| self.0.get_mut(at));
        if let Some(sum) = place {
            *sum = sum.saturating_add(size);
        }
    }

    /// Returns the priority threshold for `quota`: the highest score for which the regions with
    /// that score or a higher one fill the quota.
    pub(crate) fn min_score(&self, quota: u64) -> u32 {
        let mut filled: u64 = 0;
        for (score, size) in (0..=MAX_SCORE).rev().zip(self.0.iter().rev()) {
            filled = filled.saturating_add(*size);
            // The threshold must not be above the highest score of a region.
            if filled != 0 && filled >= quota {
                return score;
            }
        }
        0
    }
}

#[kunit_tests(damon_rs_quota_priority)]
mod tests {
    use super::{
        super::super::{
            attrs::AttrsParams, //
        },
        *, //
    };

    const EVEN: Weights = Weights {
        sz: 0,
        nr_accesses: 1,
        age: 1,
    };

    fn both(weights: &Weights, nr_accesses: u32, age: u32) -> Result<(u32, u32)> {
        let attrs = Attrs::try_from(AttrsParams::default())?;
        let score = |action| score(&attrs, weights, action, nr_accesses, age);
        assert_eq!(score(Action::Stat), MAX_SCORE);
        assert_eq!(score(Action::MigrateHot), score(Action::LruPrio));
        assert_eq!(score(Action::MigrateCold), score(Action::Pageout));
        Ok((score(Action::LruPrio), score(Action::LruDeprio)))
    }

    #[test]
    fn hot_is_accessed_often_and_cold_is_not() -> Result {
        // All 20 samples saw an access. An age of zero is in the middle.
        assert_eq!(both(&EVEN, 20, 0)?, (74, 25));
        assert_eq!(both(&EVEN, 0, 0)?, (24, 75));
        // 10 aggregation intervals are one second, and its logarithm is 1.
        assert_eq!(both(&EVEN, 20, 10)?, (74, 25));
        let age = Weights {
            nr_accesses: 0,
            ..EVEN
        };
        assert_eq!(both(&age, 20, 10 << 20)?, (81, 18));
        assert_eq!(both(&age, 0, 10 << 20)?, (16, 83));
        assert_eq!(both(&age, 0, u32::MAX)?, (3, 96));
        Ok(())
    }

    #[test]
    fn weights_of_any_size_are_taken() -> Result {
        let huge = Weights {
            sz: u32::MAX,
            nr_accesses: u32::MAX,
            age: u32::MAX,
        };
        assert_eq!(both(&huge, 20, 0)?, both(&EVEN, 20, 0)?);
        assert_eq!(both(&Weights::default(), 20, 7)?, (0, MAX_SCORE));
        Ok(())
    }

    #[test]
    fn the_quota_is_filled_from_the_top() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.min_score(5), 0);
        histogram.add(90, 10);
        histogram.add(50, 20);
        histogram.add(0, 30);
        assert_eq!(histogram.min_score(0), 90);
        assert_eq!(histogram.min_score(10), 90);
        assert_eq!(histogram.min_score(11), 50);
        assert_eq!(histogram.min_score(30), 50);
        assert_eq!(histogram.min_score(31), 0);
        assert_eq!(histogram.min_score(u64::MAX), 0);
        histogram.add(50, u64::MAX);
        assert_eq!(histogram.min_score(u64::MAX), 50);
        histogram.add(100, 1);
        histogram.add(u32::MAX, 1);
        assert_eq!(histogram.min_score(11), 50);
    }
}
