// SPDX-License-Identifier: GPL-2.0

//! Address ranges with an inclusive end.

use kernel::prelude::*;

/// A range of addresses. It can include the last address of the address space.
#[derive(Clone, Copy)]
pub(super) struct Span {
    first: usize,
    /// The last address, inclusive.
    last: usize,
}

impl Span {
    /// The empty range.
    pub(super) const EMPTY: Self = Self { first: 1, last: 0 };

    /// Creates the range from `first` to `last`, both inclusive.
    pub(super) const fn new(first: usize, last: usize) -> Self {
        Self { first, last }
    }

    /// Creates the range from `start` to `end`, exclusive.
    pub(super) const fn up_to(start: usize, end: usize) -> Self {
        if start < end {
            Self::new(start, end - 1)
        } else {
            Self::EMPTY
        }
    }

    /// Creates the aligned block of `1 << shift` bytes that contains an address.
    pub(super) const fn block(addr: usize, shift: u32) -> Self {
        let mask = !usize::MAX.wrapping_shl(shift);
        Self::new(addr & !mask, addr | mask)
    }

    #[inline]
    pub(super) const fn contains(self, addr: usize) -> bool {
        self.first <= addr && addr <= self.last
    }

    /// Returns the address after the range, `None` if the range ends at the last address.
    pub(super) const fn end(self) -> Option<usize> {
        self.last.checked_add(1)
    }

    pub(super) fn intersection(self, other: Self) -> Self {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

#[kunit_tests(damon_rs_mm_span)]
mod tests {
    use super::Span;

    #[test]
    fn ends_belong_to_the_span() {
        let span = Span::up_to(0x1000, 0x3000);
        assert!(!span.contains(0xfff));
        assert!(span.contains(0x1000));
        assert!(span.contains(0x2fff));
        assert!(!span.contains(0x3000));
        assert!(Span::new(0, usize::MAX).contains(usize::MAX));
        assert_eq!(Span::up_to(0x1000, 0x3000).end(), Some(0x3000));
        assert_eq!(Span::new(0, usize::MAX).end(), None);
    }

    #[test]
    fn empty_spans_contain_nothing() {
        for span in [Span::EMPTY, Span::up_to(0x1000, 0x1000)] {
            assert!(![0, 1, 0xfff, 0x1000, usize::MAX]
                .iter()
                .any(|addr| span.contains(*addr)));
        }
        let apart = Span::up_to(0, 0x1000).intersection(Span::up_to(0x2000, 0x3000));
        assert!(!apart.contains(0xfff) && !apart.contains(0x1800) && !apart.contains(0x2000));
    }

    #[test]
    fn blocks_are_aligned() {
        let block = Span::block(0x40_1234, 21);
        assert!(block.contains(0x40_0000) && block.contains(0x5f_ffff));
        assert!(!block.contains(0x3f_ffff) && !block.contains(0x60_0000));
        // The last block of the address space.
        let block = Span::block(usize::MAX - 1, 39);
        assert!(block.contains(usize::MAX) && !block.contains(0));
    }
}
