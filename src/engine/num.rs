// SPDX-License-Identifier: GPL-2.0

//! Arithmetic that cannot overflow, for formulas that multiply before they divide.
//!
//! A 128-bit product is one instruction. A 128-bit division is a library function that the kernel
//! does not provide to modules; [`div_wide`] does not need it.

use kernel::prelude::*;

/// `min_region_sz`, validated: a power of two, in the unit of addresses. Sizes and boundaries of
/// regions are multiples of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MinRegionSize(u64);

impl TryFrom<u64> for MinRegionSize {
    type Error = Error;

    /// Fails with `EINVAL` if `size` is not a power of two.
    fn try_from(size: u64) -> Result<Self> {
        if size.is_power_of_two() {
            Ok(Self(size))
        } else {
            Err(EINVAL)
        }
    }
}

impl MinRegionSize {
    /// Returns the size.
    #[inline]
    pub(crate) fn size(self) -> u64 {
        self.0
    }

    #[inline]
    fn mask(self) -> u64 {
        self.0.wrapping_sub(1)
    }

    /// Rounds `n` down to a multiple.
    #[inline]
    pub(crate) fn down(self, n: u64) -> u64 {
        n & !self.mask()
    }

    /// Rounds `n` up to a multiple, or returns `None` if that exceeds 64 bits.
    #[inline]
    pub(crate) fn up(self, n: u64) -> Option<u64> {
        n.checked_add(self.mask()).map(|n| self.down(n))
    }
}

/// Converts `n` to 32 bits; saturates.
#[inline]
pub(crate) fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Returns the upper and the lower half of a 128-bit number.
#[inline]
fn halves(n: u128) -> (u64, u64) {
    // Neither conversion can fail. The compiler detects that and emits two register moves.
    let high = u64::try_from(n >> 64).unwrap_or(u64::MAX);
    let low = u64::try_from(n & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    (high, low)
}

/// Returns the product of two numbers.
#[inline]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a).wrapping_mul(u128::from(b))
}

/// Returns the upper 64 bits of `a * b`.
#[inline]
pub(crate) fn mul_high(a: u64, b: u64) -> u64 {
    halves(wide(a, b)).0
}

/// Returns `n / d`. Saturates if the quotient exceeds 64 bits or `d` is zero.
pub(crate) fn div_wide(n: u128, d: u64) -> u64 {
    let (mut rest, mut low) = halves(n);
    if rest == 0 {
        return low.checked_div(d).unwrap_or(u64::MAX);
    }
    if rest >= d {
        return u64::MAX;
    }
    // Binary long division: `rest` remains below `d`. The bits of the dividend leave `low` at the
    // left, and those of the quotient enter it at the right.
    for _ in 0..u64::BITS {
        let carry = rest >> 63 != 0;
        rest = (rest << 1) | (low >> 63);
        low <<= 1;
        if carry || rest >= d {
            rest = rest.wrapping_sub(d);
            low |= 1;
        }
    }
    low
}

/// Returns `a * b / c` with an exact product; saturates.
pub(crate) fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    div_wide(wide(a, b), c)
}

/// Returns the weighted average of two values.
pub(crate) fn average(a: u32, weight_a: u64, b: u32, weight_b: u64) -> u32 {
    let sum = wide(u64::from(a), weight_a).wrapping_add(wide(u64::from(b), weight_b));
    narrow(div_wide(sum, weight_a.saturating_add(weight_b)))
}

#[kunit_tests(damon_rs_num)]
mod tests {
    use super::{
        super::rand::Rng,
        *, //
    };

    #[test]
    fn the_min_region_size_is_a_power_of_two() {
        assert!(MinRegionSize::try_from(4096).is_ok());
        assert_eq!(MinRegionSize::try_from(4095), Err(EINVAL));
        assert_eq!(MinRegionSize::try_from(0), Err(EINVAL));
    }

    #[test]
    fn aligns() -> Result {
        let page = MinRegionSize::try_from(4096)?;
        assert_eq!(page.down(4095), 0);
        assert_eq!(page.down(4096), 4096);
        assert_eq!(page.up(4097), Some(8192));
        assert_eq!(page.up(8192), Some(8192));
        assert_eq!(page.up(u64::MAX), None);
        Ok(())
    }

    #[test]
    fn divides_wide_products() {
        assert_eq!(mul_div(7, 9, 4), 15);
        assert_eq!(mul_div(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(mul_div(u64::MAX, 10, 20), u64::MAX / 2);
        assert_eq!(mul_div(u64::MAX - 1, 3, u64::MAX), 2);
        assert_eq!(mul_div(u64::MAX, 2, 1), u64::MAX);
        assert_eq!(mul_div(1, 1, 0), u64::MAX);
    }

    /// Returns whether `q` is the integer part of `a * b / c`, without a division.
    fn is_quotient(q: u64, a: u64, b: u64, c: u64) -> bool {
        match wide(a, b).checked_sub(wide(q, c)) {
            Some(rest) => rest < u128::from(c),
            None => false,
        }
    }

    #[test]
    fn divides_random_products() {
        let mut rng = Rng::new(11);
        for _ in 0..1000 {
            let (b, c) = (rng.range(0, u64::MAX), rng.range(1, u64::MAX));
            // Includes small divisors, which lead to long quotients.
            let c = (c >> rng.range(0, 63)) | 1;
            let a = rng.range(0, c);
            assert!(is_quotient(mul_div(a, b, c), a, b, c));
        }
    }

    #[test]
    fn averages_by_weight() {
        assert_eq!(average(10, 100, 20, 200), 16);
        assert_eq!(average(u32::MAX, 1 << 63, u32::MAX, 1 << 62), u32::MAX);
        assert_eq!(average(0, 1 << 62, u32::MAX, 1 << 62), u32::MAX / 2);
    }
}
