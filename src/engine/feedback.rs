// SPDX-License-Identifier: GPL-2.0

//! The feedback loop of everything that is tuned automatically, as in
//! `damon_feed_loop_next_input()`.
//!
//! An input is increased while its score is below the goal and decreased while it is above, in
//! proportion to the distance:
//!
//! ```text
//! next = last * (1 + (goal - score) / goal)
//! ```
//!
//! For example, the goal is 10,000. After an input of 40,000 with a score of 7,500, which is a
//! quarter short, the next input is 50,000. After a score of 12,500 it is 30,000. For scores from
//! twice the goal on it is the smallest input, which is not zero: no proportion would lead back
//! from zero.

use super::num::mul_div;
use core::cmp::Ordering;
use kernel::prelude::*;

/// The score to be reached.
pub(crate) const GOAL: u64 = 10_000;

/// The smallest input: small enough to have no effect, and large enough to grow again.
const SMALLEST: u64 = 10_000;

/// Returns the input that should bring the score to [`GOAL`], after the input `last` has led to
/// `score`.
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
