// SPDX-License-Identifier: GPL-2.0

//! Automatic tuning of the intervals to a given ratio of access checks that find an access.
//! Corresponds to `kdamond_tune_intervals()`.
//!
//! Each access check of each byte may find an access. The ratio of those that do, in an aggregation
//! window, measures how much the monitoring finds for its cost. At a ratio near zero there are too
//! many checks for too few accesses; at a ratio of one, hot memory cannot be distinguished from
//! warm memory. The ratio is compared with the goal of the user. If it is less, the sampling
//! interval is increased, and if it is more, the interval is decreased. The aggregation interval
//! follows, with the same number of samples as before.
//!
//! For example, with a goal of 4 % and a ratio of 1 % the score is a quarter of the goal. Three
//! quarters are missing, so the intervals grow by three quarters: 5 ms becomes 8.75 ms. At twice
//! the ratio of the goal or more the intervals are halved, and never reduced further in one step.

use super::{
    attrs::{
        Attrs,
        Micros, //
    },
    context::Context,
    events::Events,
    feedback::{
        next_input,
        GOAL, //
    },
    num::mul_div,
    operations::Operations,
    regions::region::Region, //
};
use kernel::prelude::*;

/// Returns the ratio of accesses to samples of `regions`, relative to `goal_bp`: [`GOAL`] if they
/// are equal. Corresponds to `damon_get_intervals_score()`.
fn score<'a>(regions: impl Iterator<Item = &'a Region>, samples: u64, goal_bp: u64) -> u64 {
    let (mut seen, mut possible): (u128, u128) = (0, 0);
    for region in regions {
        let events = |n: u64| u128::from(region.size()).saturating_mul(u128::from(n));
        seen = seen.saturating_add(events(u64::from(region.last_nr_accesses())));
        possible = possible.saturating_add(events(samples));
    }
    // Only the ratio of the two is needed, for which the upper 64 bits are enough.
    let excess = u64::BITS.saturating_sub(possible.max(seen).leading_zeros());
    let narrow =
        |events: u128| u64::try_from(events.checked_shr(excess).unwrap_or(0)).unwrap_or(u64::MAX);
    let wanted = mul_div(narrow(possible), goal_bp, 10_000).max(1);
    mul_div(narrow(seen), GOAL, wanted)
}

/// Returns the factor for the intervals in basis points, from 5,000 to 20,000. Corresponds to
/// `damon_get_intervals_adaptation_bp()`.
fn adaptation(score: u64) -> u64 {
    let factor = next_input(GOAL * GOAL, score) / GOAL;
    // Rescales [1, 10,000] to [5,000, 10,000], so that one hot window does not reduce long
    // intervals too rapidly.
    if factor <= GOAL {
        (GOAL / 2).saturating_add(factor / 2)
    } else {
        factor
    }
}

impl<O: Operations> Context<O> {
    /// Tunes the intervals to their goal, based on the results of the last complete aggregation
    /// window.
    ///
    /// Must be called at the end of the window, after the schemes were applied. All events that are
    /// scheduled for later keep their time, to the nearest sampling interval.
    ///
    /// The C DAMON reschedules schemes and operations updates each time, so neither ever happens if
    /// tuning happens more often.
    pub(super) fn tune(&mut self, events: &mut dyn Events) {
        let old = self.settings.attrs;
        let Some(goal) = old.goal() else {
            return;
        };
        let regions = self.targets.iter().flat_map(|target| target.regions());
        let factor = adaptation(score(regions, old.aggr_samples(), goal.access_bp));
        if factor == GOAL {
            return;
        }
        let tuned = old.tuned(Micros(mul_div(old.sample().0, factor, GOAL)));
        events.tuned(tuned.sample());
        if tuned != old {
            self.settings.attrs = tuned;
            self.follow(&old);
        }
    }

    /// Converts the state that depends on the intervals from the attributes `old` to the current
    /// ones.
    fn follow(&mut self, old: &Attrs) {
        self.rescale(old);
        let passed = self.progress.passed;
        let attrs = &self.settings.attrs;
        self.progress.schedule.tuned(passed, attrs, old);
        for scheme in &mut self.schemes {
            scheme.reschedule(attrs, old, passed);
            scheme.follow_age(attrs);
        }
    }
}

#[kunit_tests(damon_rs_tune)]
mod tests {
    use super::{
        super::{
            attrs::{
                AttrsParams,
                IntervalsGoal, //
            },
            fake::{
                params,
                with_scheme,
                Fake,
                FakeMetrics,
                NoEvents, //
            },
            params::Params,
            pattern::{
                AccessPattern,
                Action, //
            },
            regions::region::tests::region,
            scheme::SchemeParams, //
        },
        *, //
    };

    #[test]
    fn scores_by_bytes_and_samples() -> Result {
        // 10 of 20 samples of 100 bytes and none of 900 bytes: 5 % of all possible accesses.
        let regions = [region(0, 100, 0, 10, 0)?, region(100, 1000, 0, 0, 0)?];
        let score = |goal_bp| score(regions.iter(), 20, goal_bp);
        assert_eq!(score(500), 10_000);
        assert_eq!(score(1000), 5_000);
        assert_eq!(score(250), 20_000);
        // The goal is at least one access event.
        assert_eq!(score(0), 10_000_000);
        Ok(())
    }

    #[test]
    fn scores_any_size() -> Result {
        let huge = [region(0, u64::MAX, 0, u32::MAX, 0)?];
        assert_eq!(score(huge.iter(), u64::from(u32::MAX), 10_000), 10_000);
        assert_eq!(score(huge.iter(), u64::from(u32::MAX), 5_000), 20_000);
        assert_eq!(score(huge.iter(), 1, u64::MAX), 9_999);
        assert_eq!(score([].iter(), 20, 400), 0);
        Ok(())
    }

    #[test]
    fn adapts_to_the_score() {
        assert_eq!(adaptation(10_000), 10_000);
        assert_eq!(adaptation(0), 20_000);
        assert_eq!(adaptation(2_500), 17_500);
        assert_eq!(adaptation(15_000), 7_500);
        assert_eq!(adaptation(19_999), 5_000);
        assert_eq!(adaptation(20_000), 5_000);
        assert_eq!(adaptation(u64::MAX), 5_000);
    }

    /// The reported sampling interval.
    #[derive(Default)]
    struct LastTuned(Option<u64>);

    impl Events for LastTuned {
        fn aggregated_enabled(&self) -> bool {
            false
        }

        fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {}

        fn tuned(&mut self, sample: Micros) {
            self.0 = Some(sample.0);
        }
    }

    /// Returns parameters with an idle and a hot target. The goal is an access in `access_bp` of
    /// the checks.
    fn tunable(access_bp: u64) -> Result<Params<Fake>> {
        let mut params = params(&[&[(0, 100)], &[(0, 100)]], 1)?;
        params.attrs = Attrs::try_from(AttrsParams {
            goal: IntervalsGoal {
                access_bp,
                aggrs: 1,
                min_sample_us: Micros(1000),
                max_sample_us: Micros(9000),
            },
            ..AttrsParams::default()
        })?;
        Ok(params)
    }

    /// Passes the first aggregation window.
    fn window(context: &mut Context<Fake>) {
        context.start();
        context.prepare();
        context.samples(20);
        context.merge();
        context.start_window();
        context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None);
    }

    /// Returns a context with these parameters and two schemes at the end of an aggregation window.
    fn merged(access_bp: u64) -> Result<Context<Fake>> {
        let mut params = tunable(access_bp)?;
        for apply_interval in [Micros(0), Micros::from_secs(1)] {
            let scheme = SchemeParams {
                apply_interval,
                ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
            };
            params = with_scheme(params, scheme)?;
        }
        let mut context = Context::new(params, 0)?;
        window(&mut context);
        Ok(context)
    }

    fn tuned(access_bp: u64) -> Result<(Option<u64>, u64, u64)> {
        let mut context = merged(access_bp)?;
        let mut tuned = LastTuned::default();
        context.tune(&mut tuned);
        let attrs = context.attrs();
        Ok((tuned.0, attrs.sample().0, attrs.aggr().0))
    }

    #[test]
    fn tunes_towards_the_goal() -> Result {
        // Half of all possible accesses are found.
        assert_eq!(tuned(5_000)?, (None, 5_000, 100_000));
        assert_eq!(tuned(6_250)?, (Some(6_000), 6_000, 120_000));
        assert_eq!(tuned(10_000)?, (Some(7_500), 7_500, 150_000));
        assert_eq!(tuned(4_000)?, (Some(4_375), 4_375, 87_500));
        assert_eq!(tuned(1)?, (Some(2_500), 2_500, 50_000));
        // The interval stays within its limit.
        assert_eq!(tuned(1_000_000)?, (Some(9_000), 9_000, 180_000));
        Ok(())
    }

    #[test]
    fn does_nothing_without_a_goal() -> Result {
        let mut context = Context::new(params(&[&[], &[(0, 100)]], 1)?, 0)?;
        context.start();
        let mut tuned = LastTuned::default();
        context.tune(&mut tuned);
        assert_eq!(tuned.0, None);
        assert_eq!(context.attrs().sample(), Micros(5000));
        Ok(())
    }

    #[test]
    fn a_least_age_stays_the_same_time() -> Result {
        let seconds = |n| SchemeParams {
            min_age: Micros::from_secs(n),
            ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
        };
        let min = |context: &Context<Fake>, index: usize| {
            let scheme = context.schemes().get(index);
            scheme.map(|scheme| scheme.params().pattern.age.min)
        };
        let with = |params, least| with_scheme(with_scheme(params, seconds(0))?, seconds(least));
        let mut context = Context::new(with(tunable(6_250)?, 120)?, 0)?;
        assert_eq!((min(&context, 0), min(&context, 1)), (Some(0), Some(1_200)));
        window(&mut context);
        context.tune(&mut NoEvents);
        assert_eq!(context.attrs().aggr(), Micros(120_000));
        assert_eq!((min(&context, 0), min(&context, 1)), (Some(0), Some(1_000)));
        // A commit starts from its own intervals.
        context.commit(with(tunable(6_250)?, 60)?)?;
        assert_eq!((min(&context, 0), min(&context, 1)), (Some(0), Some(600)));
        Ok(())
    }

    #[test]
    fn results_and_plans_follow() -> Result {
        let mut context = merged(6_250)?;
        for target in &mut context.targets {
            for region in target.regions.as_mut_slice() {
                for _ in 0..12 {
                    region.count_age(0, 0, 0);
                }
            }
        }
        let age = |context: &Context<Fake>| {
            let regions = context.targets().iter().flat_map(|target| target.regions());
            regions.map(Region::age).max()
        };
        let before = age(&context).ok_or(EINVAL)?;
        context.tune(&mut NoEvents);
        // The number of samples is the same in a longer interval: counts do not change, and ages
        // are fewer intervals.
        let hot = context.targets().get(1).ok_or(EINVAL)?;
        assert!(hot
            .regions()
            .iter()
            .all(|region| region.last_nr_accesses() == 20));
        assert_eq!(age(&context), Some(before * 5 / 6));
        // One scheme is due with the aggregation. The other keeps its time: 900 ms from now.
        let next = context
            .schemes()
            .iter()
            .map(|scheme| scheme.state.next_apply);
        assert!(next.eq([20 + 20, 20 + 150]));
        Ok(())
    }
}
