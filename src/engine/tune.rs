// SPDX-License-Identifier: GPL-2.0

//! Intervals auto-tuning: how often to look, so that a wanted share of the looks sees an access.
//!
//! Each look at each byte could see an access. The share of those that do, within an aggregation
//! interval, is a measure of how much the monitor learns for its money: with none it looks too
//! often at too little happening, with all it cannot tell hot from warm. It is compared with the
//! share that the user wants, and the sampling interval becomes longer where it is less and shorter
//! where it is more; the aggregation interval follows, with as many samples as before.
//!
//! For example, with 4 % wanted and 1 % seen the score is a quarter of the goal, three quarters
//! are missing, and the intervals grow by that: 5 ms becomes 8.75 ms. With twice the wanted share or
//! more they are halved at once, and never more than that.

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

/// How close the share of accesses among all samples of `regions` is to `goal_bp`, of [`GOAL`].
fn score<'a>(regions: impl Iterator<Item = &'a Region>, samples: u64, goal_bp: u64) -> u64 {
    let (mut seen, mut possible): (u128, u128) = (0, 0);
    for region in regions {
        let events = |n: u64| u128::from(region.size()).saturating_mul(u128::from(n));
        seen = seen.saturating_add(events(u64::from(region.last_nr_accesses())));
        possible = possible.saturating_add(events(samples));
    }
    // The ratio of the two is what counts, and 64 bits are enough for it.
    let excess = u64::BITS.saturating_sub(possible.max(seen).leading_zeros());
    let narrow =
        |events: u128| u64::try_from(events.checked_shr(excess).unwrap_or(0)).unwrap_or(u64::MAX);
    let wanted = mul_div(narrow(possible), goal_bp, 10_000).max(1);
    mul_div(narrow(seen), GOAL, wanted)
}

/// The factor, in basis points, that intervals are to be multiplied by: 5,000 to 20,000.
fn adaptation(score: u64) -> u64 {
    let factor = next_input(GOAL * GOAL, score) / GOAL;
    // From one to all of it, so that a single hot interval is not the end of a long one.
    if factor <= GOAL {
        (GOAL / 2).saturating_add(factor / 2)
    } else {
        factor
    }
}

impl<O: Operations> Context<O> {
    /// Tunes the intervals to their goal, by the results of the last aggregation window.
    ///
    /// To be called when the window has ended and schemes have seen it. What is planned for later
    /// stays at its time, as near as whole sampling intervals allow.
    ///
    /// The C DAMON plans schemes and operations updates anew each time, and has none of either if
    /// tuning comes more often.
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

    /// Lets what is measured in intervals follow them, after `old` were the attributes.
    fn follow(&mut self, old: &Attrs) {
        self.rescale(old);
        let passed = self.progress.passed;
        let attrs = &self.settings.attrs;
        self.progress.schedule.tuned(passed, attrs, old);
        for scheme in &mut self.schemes {
            scheme.reschedule(attrs, old, passed);
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
                Deaf,
                Fake,
                Machinery, //
            },
            pattern::{
                AccessPattern,
                Action,
                MinMax, //
            },
            regions::region::tests::region,
            scheme::SchemeParams, //
        },
        *, //
    };

    #[test]
    fn scores_by_bytes_and_samples() -> Result {
        // 10 of 20 samples of 100 bytes, none of 900: 5 % of what is possible.
        let regions = [region(0, 100, 0, 10, 0)?, region(100, 1000, 0, 0, 0)?];
        let score = |goal_bp| score(regions.iter(), 20, goal_bp);
        assert_eq!(score(500), 10_000);
        assert_eq!(score(1000), 5_000);
        assert_eq!(score(250), 20_000);
        // No less than one event is wanted.
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

    /// What was told.
    #[derive(Default)]
    struct Heard(Option<u64>);

    impl Events for Heard {
        fn aggregated_enabled(&self) -> bool {
            false
        }

        fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {}

        fn tuned(&mut self, sample: Micros) {
            self.0 = Some(sample.0);
        }
    }

    /// A context of a cold and a hot target at the end of an aggregation interval, which is to see
    /// an access in `access_bp` of the looks.
    fn merged(access_bp: u64) -> Result<Context<Fake>> {
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
        let all = MinMax {
            min: 0,
            max: u32::MAX,
        };
        for apply_interval in [Micros(0), Micros::from_secs(1)] {
            let pattern = AccessPattern {
                sz: MinMax {
                    min: 0,
                    max: u64::MAX,
                },
                nr_accesses: all,
                age: all,
            };
            let scheme = SchemeParams {
                apply_interval,
                ..SchemeParams::new(pattern, Action::Stat)
            };
            params = with_scheme(params, scheme)?;
        }
        let mut context = Context::new(params, 0)?;
        context.start();
        context.prepare();
        context.samples(20);
        context.merge();
        context.start_window();
        context.apply_schemes(&mut Deaf, &Machinery::default(), None);
        Ok(context)
    }

    fn tuned(access_bp: u64) -> Result<(Option<u64>, u64, u64)> {
        let mut context = merged(access_bp)?;
        let mut heard = Heard::default();
        context.tune(&mut heard);
        let attrs = context.attrs();
        Ok((heard.0, attrs.sample().0, attrs.aggr().0))
    }

    #[test]
    fn tunes_towards_the_goal() -> Result {
        // Half of all possible accesses are seen.
        assert_eq!(tuned(5_000)?, (None, 5_000, 100_000));
        assert_eq!(tuned(6_250)?, (Some(6_000), 6_000, 120_000));
        assert_eq!(tuned(10_000)?, (Some(7_500), 7_500, 150_000));
        assert_eq!(tuned(4_000)?, (Some(4_375), 4_375, 87_500));
        assert_eq!(tuned(1)?, (Some(2_500), 2_500, 50_000));
        // No further than the limit.
        assert_eq!(tuned(1_000_000)?, (Some(9_000), 9_000, 180_000));
        Ok(())
    }

    #[test]
    fn does_nothing_without_a_goal() -> Result {
        let mut context = Context::new(params(&[&[], &[(0, 100)]], 1)?, 0)?;
        context.start();
        let mut heard = Heard::default();
        context.tune(&mut heard);
        assert_eq!(heard.0, None);
        assert_eq!(context.attrs().sample(), Micros(5000));
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
        context.tune(&mut Deaf);
        // As many samples in a longer interval: the same counts, less intervals of age.
        let hot = context.targets().get(1).ok_or(EINVAL)?;
        assert!(hot
            .regions()
            .iter()
            .all(|region| region.last_nr_accesses() == 20));
        assert_eq!(age(&context), Some(before * 5 / 6));
        // One scheme comes with the aggregation, the other when it would have come anyway: 900 ms
        // from now.
        let next = context
            .schemes()
            .iter()
            .map(|scheme| scheme.state.next_apply);
        assert!(next.eq([20 + 20, 20 + 150]));
        Ok(())
    }
}
