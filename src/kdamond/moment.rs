// SPDX-License-Identifier: GPL-2.0

//! Points on the monotonic clock, with arithmetic that cannot overflow.
//!
//! Intervals come from users and may be any 64-bit number of microseconds. The kernel crate's
//! `Instant` panics if a sum overflows.

/// A point on the monotonic clock, in nanoseconds.
///
/// # Invariants
///
/// At most [`i64::MAX`], which is the largest `ktime_t` (`KTIME_MAX`) and means "never".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// A moment later than any event.
    const NEVER: u64 = i64::MAX.unsigned_abs();

    /// Creates the moment `nanos` nanoseconds after the start of the clock; saturates at "never".
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        // INVARIANT: `min` limits the value to `i64::MAX`.
        Self(nanos.min(Self::NEVER))
    }

    /// Returns the moment `micros` microseconds later; saturates at "never".
    pub(crate) fn after_micros(self, micros: u64) -> Self {
        Self::from_nanos(self.0.saturating_add(micros.saturating_mul(1000)))
    }

    /// Returns the nanoseconds since the start of the clock.
    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the moment as a `ktime_t`.
    pub(crate) fn as_ktime(self) -> i64 {
        // By the type invariant the conversion does not fail.
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

#[kernel::prelude::kunit_tests(damon_rs_moment)]
mod tests {
    use super::Moment;

    #[test]
    fn times_out_of_range_saturate() {
        let now = Moment::from_nanos(5);
        assert_eq!(now.after_micros(2).as_ktime(), 2005);
        assert_eq!(now.after_micros(u64::MAX).as_ktime(), i64::MAX);
        assert_eq!(Moment::from_nanos(u64::MAX).as_ktime(), i64::MAX);
    }
}
