// SPDX-License-Identifier: GPL-2.0

//! The three regions in which the address space of a process is monitored.
//!
//! A process maps a small part of its address space, in many VMAs that change all the time.
//! Following each change would be costly and gain nothing: a small hole between two VMAs is found
//! to be cold, like memory that is not accessed. Two holes are different, because they are larger
//! than all the rest together: the one between the heap and the mappings, and the one between the
//! mappings and the stack.
//!
//! ```text
//!   heap   ······ hole ······   mappings   ··· hole ···   stack
//!  [10  25)                    [200    220)             [300  330)
//! ```
//!
//! The monitored ranges are therefore the three that remain without the two largest holes.

use kernel::prelude::*;

use crate::engine::AddrRange;

/// Returns the three ranges around the two largest holes between `vmas`, which must be ascending
/// and disjoint. `None` if there are less than two holes.
///
/// Of holes of the same size, the lower one counts as larger.
pub(super) fn three_regions(vmas: impl Iterator<Item = AddrRange>) -> Option<[AddrRange; 3]> {
    let mut whole: Option<AddrRange> = None;
    let mut largest = None;
    let mut second = None;
    for vma in vmas {
        let Some(whole) = &mut whole else {
            whole = Some(vma);
            continue;
        };
        let hole = AddrRange {
            start: whole.end,
            end: vma.start,
        };
        if size(Some(hole)) > size(largest) {
            second = largest;
            largest = Some(hole);
        } else if size(Some(hole)) > size(second) {
            second = Some(hole);
        }
        whole.end = vma.end;
    }
    let (whole, largest, second) = (whole?, largest?, second?);
    let (lower, upper) = if largest.start < second.start {
        (largest, second)
    } else {
        (second, largest)
    };
    Some([
        AddrRange {
            start: whole.start,
            end: lower.start,
        },
        AddrRange {
            start: lower.end,
            end: upper.start,
        },
        AddrRange {
            start: upper.end,
            end: whole.end,
        },
    ])
}

/// Returns the size of a hole, 0 if there is none.
fn size(hole: Option<AddrRange>) -> u64 {
    hole.map_or(0, |hole| hole.end.saturating_sub(hole.start))
}

#[kunit_tests(damon_rs_ops_three_regions)]
mod tests {
    use super::three_regions;
    use crate::engine::AddrRange;

    fn found(vmas: &[(u64, u64)]) -> Option<[(u64, u64); 3]> {
        let vmas = vmas.iter().map(|&(start, end)| AddrRange { start, end });
        three_regions(vmas).map(|regions| regions.map(|region| (region.start, region.end)))
    }

    #[test]
    fn two_largest_holes_are_left_out() {
        // The case of the in-tree DAMON's own test: adjacent VMAs, and a third, small hole.
        assert_eq!(
            found(&[
                (10, 20),
                (20, 25),
                (200, 210),
                (210, 220),
                (300, 305),
                (307, 330)
            ]),
            Some([(10, 25), (200, 220), (300, 330)])
        );
    }

    #[test]
    fn order_of_sizes_does_not_matter() {
        let expected = Some([(0, 10), (20, 30), (100, 110)]);
        assert_eq!(found(&[(0, 10), (20, 30), (100, 110)]), expected);
        // The second largest comes before, between and after the others.
        assert_eq!(
            found(&[(0, 1), (5, 6), (7, 8), (18, 19), (20, 21)]),
            Some([(0, 1), (5, 8), (18, 21)])
        );
        assert_eq!(
            found(&[(0, 1), (11, 12), (13, 14), (18, 19), (20, 21)]),
            Some([(0, 1), (11, 14), (18, 21)])
        );
    }

    #[test]
    fn lower_of_equal_holes_wins() {
        assert_eq!(
            found(&[(0, 1), (3, 4), (6, 7), (9, 10)]),
            Some([(0, 1), (3, 4), (6, 10)])
        );
    }

    #[test]
    fn less_than_two_holes() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[(0, 10)]), None);
        assert_eq!(found(&[(0, 10), (10, 20), (20, 30)]), None);
        assert_eq!(found(&[(0, 10), (20, 30)]), None);
    }
}
