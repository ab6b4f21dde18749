// SPDX-License-Identifier: GPL-2.0

//! Counters that are brought close to their ends, and run over them.
//!
//! No monitor lives that long: at the default intervals an age takes 13 years and the number of
//! samples three thousand million. What must not happen is that a kernel dies of it. Counters stay
//! at their ends where the C DAMON's start anew from zero, and something old would look young.

use super::{
    check_invariants,
    memory::{
        ranges,
        Memory,
        Visits, //
    },
    regions,
    skip_window,
    strategies::small_number,
    tick,
    ticks, //
};
use crate::{
    engine::{
        AccessPattern,
        Action,
        Attrs,
        AttrsParams,
        Context,
        Micros,
        Params,
        Probes,
        SchemeParams,
        TargetParams, //
    },
    metrics::FakeMetrics, //
};
use kernel::prelude::*;
use proptest::prelude::{
    any,
    prop_assert,
    prop_assert_eq,
    proptest,
    Strategy, //
};

/// How close to its end a counter starts, and how far it is let run.
const NEAR: u64 = 20;

/// Numbers close to the end of 64 bits.
fn late() -> impl Strategy<Value = u64> {
    (0..NEAR).prop_map(|before| u64::MAX - before)
}

/// One target of two pages, the first one hot all the time, with a scheme that applies to all.
fn params(sample: u64, aggr: u64, apply_interval: u64) -> Result<Params<Memory>> {
    let mut targets = KVec::new();
    let target = TargetParams {
        space: 0,
        obsolete: false,
        regions: ranges(&[(0, 16), (32, 48)])?,
    };
    targets.push(target, GFP_KERNEL)?;
    let mut schemes = KVec::new();
    let scheme = SchemeParams {
        apply_interval: Micros(apply_interval),
        ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
    };
    schemes.push(scheme, GFP_KERNEL)?;
    Ok(Params {
        ops: Memory {
            min_region_sz: 16,
            covers: None,
            hot: (0, 16),
        },
        attrs: Attrs::try_from(AttrsParams {
            sample: Micros(sample),
            aggr: Micros(aggr),
            ..AttrsParams::default()
        })?,
        probes: Probes::default(),
        pause: false,
        targets,
        schemes,
    })
}

/// A number of samples, at the last of which an aggregation window ends.
fn interval(context: &mut Context<Memory>, samples: u64) {
    ticks(context, samples.saturating_sub(1));
    skip_window(context);
    tick(
        context,
        &FakeMetrics::default(),
        Some(&mut Visits::default()),
    );
    context.update();
    check_invariants(context);
}

/// Ages, of regions in ascending order.
fn ages(context: &Context<Memory>) -> Vec<u32> {
    regions(context).map(|region| region.age()).collect()
}

proptest! {
    /// A commit of shorter intervals makes old what was young: that is how an age gets to its end.
    #[test]
    fn an_age_stays_at_its_end(before in 0u32..20) {
        let end = u64::from(u32::MAX - before);
        let mut context = Context::new(params(1, end, 0).unwrap(), 1).unwrap();
        context.prepare();
        // The first interval tells what is hot; the second is the first that is like the one
        // before.
        interval(&mut context, 1);
        interval(&mut context, 1);
        let first = ages(&context);
        prop_assert!(first.iter().all(|age| (1..=2).contains(age)), "{first:?}");
        context.commit(params(1, 1, 0).unwrap()).unwrap();
        let mut last = ages(&context);
        prop_assert!(last.iter().all(|&age| u64::from(age) >= end), "{last:?}");
        // Nothing is hot or cold by counts of one sample in another way than by those of many.
        for _ in 0..NEAR {
            interval(&mut context, 1);
            let now = ages(&context);
            for (age, was) in now.iter().zip(&last) {
                prop_assert!(*age == was.saturating_add(1) || *age == 0, "{was} became {age}");
            }
            last = now;
        }
        prop_assert!(last.contains(&u32::MAX), "{last:?}");
    }

    /// However far from each other two intervals are.
    #[test]
    fn an_age_is_rescaled_within_its_ends(old in 1u64.., new in 1u64.., times in 1u32..5) {
        let mut context = Context::new(params(1, old, 0).unwrap(), 1).unwrap();
        context.prepare();
        for _ in 0..times {
            interval(&mut context, 1);
        }
        let before = ages(&context);
        context.commit(params(1, new, 0).unwrap()).unwrap();
        for (was, is) in before.iter().zip(ages(&context)) {
            let exact = u128::from(*was) * u128::from(old) / u128::from(new);
            prop_assert_eq!(u128::from(is), exact.min(u128::from(u32::MAX)));
        }
    }

    /// Counts of accesses, and their basis points, at the ends of 32 bits.
    #[test]
    fn accesses_stay_in_their_window(from in small_number(), to in small_number(), more in 1u64..5) {
        let window = |samples: u32| u64::from(samples.max(1));
        let mut context = Context::new(params(1, window(from), 0).unwrap(), 1).unwrap();
        context.prepare();
        interval(&mut context, 1);
        // Results are converted, and so come to what no loop would count up to.
        context.commit(params(1, window(to), 0).unwrap()).unwrap();
        check_invariants(&context);
        ticks(&mut context, more);
        interval(&mut context, more);
        let max = u32::try_from(window(to)).unwrap_or(u32::MAX);
        prop_assert!(regions(&context).all(|region| region.last_nr_accesses() <= max));
    }

    #[test]
    fn a_full_window_stays_full(before in 0u32..3) {
        let samples = u32::MAX - before;
        let mut context = Context::new(params(1, 1, 0).unwrap(), 1).unwrap();
        context.prepare();
        interval(&mut context, 1);
        context.commit(params(1, u64::from(samples), 0).unwrap()).unwrap();
        let last = |context: &Context<Memory>| regions(context).map(|region| region.last_nr_accesses()).max();
        let rate = |context: &Context<Memory>| {
            let latest = context.latest_interval();
            regions(context).map(|region| region.recent_nr_accesses(&latest)).max()
        };
        let (hot, full) = (last(&context), rate(&context));
        prop_assert_eq!(hot, Some(samples));
        for _ in 0..NEAR {
            ticks(&mut context, 1);
            prop_assert_eq!((last(&context), rate(&context)), (hot, full));
        }
    }

    #[test]
    fn samples_stay_at_their_end(passed in late(), apply_interval in any::<u64>(), aggr in 1u64..5) {
        let mut context = Context::new(params(1, aggr, apply_interval).unwrap(), 1).unwrap();
        context.progress.passed = passed;
        for scheme in &mut context.schemes {
            scheme.schedule(&context.settings.attrs, passed);
        }
        context.prepare();
        for n in 1..=2 * NEAR {
            ticks(&mut context, 1);
            let exact = u128::from(passed) + u128::from(n);
            prop_assert_eq!(u128::from(context.passed()), exact.min(u128::from(u64::MAX)));
            // A time behind the end is the end, and not one that has passed long ago.
            let far = u128::from(passed) + u128::from(apply_interval.max(1)) > exact;
            prop_assert!(!far || apply_interval == 0 || context.passed() == u64::MAX || !context.schemes_due_at(context.passed()));
        }
        // Schemes and walks go on.
        let mut visits = Visits::default();
        context.begin_walk();
        prop_assert!(tick(&mut context, &FakeMetrics::default(), Some(&mut visits)));
        prop_assert!(visits.0 > 0);
        // New parameters are taken.
        context.commit(params(2, 20, 7).unwrap()).unwrap();
        interval(&mut context, 3);
        prop_assert_eq!(context.passed(), u64::MAX);
    }

    #[test]
    fn statistics_stay_at_their_ends(start in late(), times in 1..NEAR) {
        let mut context = Context::new(params(1, 1, 0).unwrap(), 1).unwrap();
        for scheme in &mut context.schemes {
            let stat = &mut scheme.state.stat;
            for number in [
                &mut stat.nr_tried, &mut stat.sz_tried, &mut stat.nr_applied, &mut stat.sz_applied,
                &mut stat.sz_ops_filter_passed, &mut stat.qt_exceeds, &mut stat.nr_snapshots,
            ] {
                *number = start;
            }
        }
        context.prepare();
        let mut last = (start, start, start);
        for _ in 0..times {
            interval(&mut context, 1);
            let Some(scheme) = context.schemes().first() else {
                return Ok(());
            };
            let stat = scheme.stat();
            let now = (stat.nr_tried, stat.sz_tried, stat.nr_snapshots);
            prop_assert!(now >= last, "{last:?} became {now:?}");
            prop_assert_eq!((stat.nr_applied, stat.qt_exceeds), (start, start));
            last = now;
        }
        prop_assert_eq!(last.2, start.saturating_add(times));
        prop_assert_eq!(last.1, start.saturating_add(32 * times));
    }
}
