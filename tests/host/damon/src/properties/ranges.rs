// SPDX-License-Identifier: GPL-2.0

//! Fitting regions to ranges, compared with a plain model of what the C DAMON does.

use super::{
    check_invariants,
    skip_window,
    strategies::{
        any_ranges,
        good_ranges,
        good_wanted, //
    },
    ticks, //
};
use crate::engine::Context;
use kernel::prelude::*;
use proptest::prelude::{
    prop_assert,
    prop_assert_eq,
    prop_assume,
    proptest, //
};

type Ranges = Vec<(u64, u64)>;

/// One list of regions, looked through for each range anew.
fn model(mut regions: Ranges, ranges: &[(u64, u64)], min_region_sz: u64) -> Result<Ranges> {
    let mut widened: Ranges = Vec::new();
    for &(start, end) in ranges {
        let start = start & !(min_region_sz - 1);
        let end = end.checked_next_multiple_of(min_region_sz).ok_or(EINVAL)?;
        let overlaps = widened.last().is_some_and(|&(_, last)| last > start);
        if start >= end || overlaps {
            return Err(EINVAL);
        }
        match widened.last_mut() {
            // What touches is one range, also if it does only since it was widened.
            Some(last) if last.1 == start => last.1 = end,
            _ => widened.push((start, end)),
        }
    }
    let meet = |a: (u64, u64), b: (u64, u64)| a.0 < b.1 && b.0 < a.1;
    regions.retain(|&region| widened.iter().any(|&range| meet(region, range)));
    let mut from = 0;
    for range in widened {
        let behind = regions[from..]
            .iter()
            .position(|region| region.0 >= range.1);
        let behind = behind.map_or(regions.len(), |n| from + n);
        let inside: Vec<usize> = (from..behind)
            .filter(|&i| meet(regions[i], range))
            .collect();
        from = behind;
        let (Some(&first), Some(&last)) = (inside.first(), inside.last()) else {
            regions.insert(behind, range);
            from += 1;
            continue;
        };
        regions[first].0 = range.0;
        regions[last].1 = range.1;
        for i in (first..last).rev() {
            let gap = (regions[i].1, regions[i + 1].0);
            if gap.0 < gap.1 {
                regions.insert(i + 1, gap);
                from += 1;
            }
        }
    }
    Ok(regions)
}

proptest! {
    #[test]
    fn a_commit_fits_regions_as_the_model_does(
        before in good_ranges(),
        ranges in any_ranges(),
        wanted in good_wanted(),
    ) {
        prop_assume!(!ranges.is_empty());
        let mut wanted = wanted;
        let min_region_sz = wanted.ops.min_region_sz;
        wanted.targets = vec![(0, false, before.clone())];
        let mut context = Context::new(wanted.params().unwrap(), 1).unwrap();
        let expected = model(before, &ranges, min_region_sz);
        wanted.targets[0].2 = ranges;
        let committed = context.commit(wanted.params().unwrap());
        prop_assert_eq!(committed.is_ok(), expected.is_ok());
        if let Ok(expected) = expected {
            let regions: Ranges = context.targets()[0]
                .regions()
                .iter()
                .map(|region| (region.start(), region.end()))
                .collect();
            prop_assert_eq!(regions, expected);
        }
        check_invariants(&context);
    }

    #[test]
    fn an_update_covers_the_ranges_and_nothing_else(
        before in good_ranges(),
        covers in good_ranges(),
        wanted in good_wanted(),
    ) {
        let mut wanted = wanted;
        wanted.targets = vec![(0, false, before)];
        wanted.ops.covers = Some(covers.clone());
        let mut context = Context::new(wanted.params().unwrap(), 1).unwrap();
        context.start();
        context.prepare();
        for _ in 0..3 {
            skip_window(&mut context);
            ticks(&mut context, 1);
        }
        context.update();
        let regions = context.targets()[0].regions();
        for &(start, end) in &covers {
            let mut at = start;
            for region in regions.iter().filter(|r| r.start() < end && start < r.end()) {
                prop_assert_eq!(region.start(), at);
                at = region.end();
            }
            prop_assert_eq!(at, end);
        }
        let covered: u64 = covers.iter().map(|(start, end)| end - start).sum();
        let total: u64 = regions.iter().map(|region| region.size()).sum();
        prop_assert!(covered == total);
        check_invariants(&context);
    }
}
