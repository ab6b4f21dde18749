// SPDX-License-Identifier: GPL-2.0

//! The feedback loop of everything that tunes itself.
//!
//! An input is made larger as long as the score that it leads to is below the goal, and smaller
//! while it is above, in proportion to the distance:
//!
//! ```text
//! next = last * (1 + (goal - score) / goal)
//! ```
//!
//! For example, an input of 40,000 that scored 7,500 of 10,000 is a quarter short: the next is
//! 50,000. One that scored 12,500 is followed by 30,000, and from twice the goal on by the smallest
//! input there is, which is never zero: from there no proportion would lead back.

use super::num::mul_div;
use core::cmp::Ordering;
use kernel::prelude::*;

/// The score that is aimed at.
pub(crate) const GOAL: u64 = 10_000;

/// The smallest input, small enough to mean nothing and large enough to grow again.
const SMALLEST: u64 = 10_000;

/// The input that should bring the score to [`GOAL`] after `last` has led to `score`.
pub(crate) fn next_input(last: u64, score: u64) -> u64 {
    if score >= GOAL.saturating_mul(2) {
        return SMALLEST;
    }
    let compensation = mul_div(last, GOAL.abs_diff(score), GOAL);
    match score.cmp(&GOAL) {
        Ordering::Less => last.saturating_add(compensation),
        Ordering::Equal => last,
        Ordering::Greater => last.saturating_sub(compensation).max(SMALLEST),
    }
}

#[kunit_tests(damon_rs_feedback)]
mod tests {
    use super::*;

    #[test]
    fn corrects_in_the_right_direction() {
        assert!(next_input(900_000, 200) > 900_000);
        assert!(next_input(900_000, 250_000_000) < 900_000);
        assert_eq!(next_input(900_000, 10_000), 900_000);
    }

    #[test]
    fn corrects_by_the_distance() {
        assert!(next_input(900_000, 200) > next_input(900_000, 2000));
        assert_eq!(next_input(900_000, 200), 1_782_000);
        assert_eq!(next_input(40_000, 7_500), 50_000);
        assert_eq!(next_input(40_000, 12_500), 30_000);
        assert_eq!(next_input(40_000, 0), 80_000);
    }

    #[test]
    fn is_never_zero() {
        assert_eq!(next_input(0, 19_999), 10_000);
        assert_eq!(next_input(10_000, 19_999), 10_000);
        assert_eq!(next_input(u64::MAX, 20_000), 10_000);
    }

    #[test]
    fn takes_any_number() {
        assert_eq!(next_input(u64::MAX, 0), u64::MAX);
        assert_eq!(next_input(u64::MAX, 5_000), u64::MAX);
        assert_eq!(next_input(u64::MAX, u64::MAX), 10_000);
        assert_eq!(next_input(u64::MAX - 1, 15_000), u64::MAX / 2);
    }
}
