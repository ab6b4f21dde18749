// SPDX-License-Identifier: GPL-2.0

//! Points on the monotonic clock, with arithmetic that cannot overflow.
//!
//! Intervals come from users and may be any 64-bit number of microseconds; the kernel crate's
//! `Instant` panics where a sum does not fit.

/// A point on the monotonic clock, in nanoseconds.
///
/// # Invariants
///
/// At most [`i64::MAX`], as a `ktime_t` is (`KTIME_MAX`: never).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// Later than anything that happens.
    const NEVER: u64 = i64::MAX.unsigned_abs();

    /// The moment `nanos` nanoseconds after the clock's start.
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        // INVARIANT: `min` sees to it.
        Self(nanos.min(Self::NEVER))
    }

    /// The moment `micros` microseconds later, or never if that is too far away to count.
    pub(crate) fn after_micros(self, micros: u64) -> Self {
        Self::from_nanos(self.0.saturating_add(micros.saturating_mul(1000)))
    }

    /// Nanoseconds since the clock's start.
    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// As a `ktime_t`.
    pub(crate) fn as_ktime(self) -> i64 {
        // By the invariant it fits.
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

#[kernel::prelude::kunit_tests(damon_rs_moment)]
mod tests {
    use super::Moment;

    #[test]
    fn far_away_is_never() {
        let now = Moment::from_nanos(5);
        assert_eq!(now.after_micros(2).as_ktime(), 2005);
        assert_eq!(now.after_micros(u64::MAX).as_ktime(), i64::MAX);
        assert_eq!(Moment::from_nanos(u64::MAX).as_ktime(), i64::MAX);
    }
}
