// SPDX-License-Identifier: GPL-2.0

//! Commits new quota goals to the schemes of a running context.

use super::super::{
    context::Context,
    operations::Operations,
    quota::{
        Goal,
        GoalState, //
    },
    scheme::Scheme, //
};
use kernel::prelude::*;

impl<O: Operations> Context<O> {
    /// Replaces the goals of the schemes, matched by index, and nothing else. Surplus schemes or
    /// lists of goals are ignored. May sleep.
    ///
    /// Fails with `ENOMEM`, and with `EINVAL` if a goal needs [`Operations::eligible`] and the
    /// operations do not implement it. After a failure nothing has changed.
    pub fn commit_goals(&mut self, goals: KVec<KVec<Goal>>) -> Result {
        let supports_nodes = self.settings.ops.supports_nodes();
        let mut states = KVec::with_capacity(goals.len(), GFP_KERNEL)?;
        for list in &goals {
            if !supports_nodes && list.iter().any(|goal| goal.metric.needs_nodes()) {
                return Err(EINVAL);
            }
            states.push_within_capacity(GoalState::list(list.len())?)?;
        }
        let both = goals.into_iter().zip(states);
        for (scheme, (goals, states)) in self.schemes.iter_mut().zip(both) {
            let Scheme { params, state } = scheme;
            state
                .quota
                .replace_goals(&params.quota.goals, &goals, states);
            params.quota.goals = goals;
            if !params.quota.is_set() {
                state.quota.clear();
            }
        }
        Ok(())
    }
}

#[kunit_tests(damon_rs_commit_goals)]
mod tests {
    use super::{
        super::super::{
            attrs::Micros,
            fake::{
                params,
                with_scheme,
                Fake,
                FakeMetrics,
                NoEvents, //
            },
            filter::{
                Filter,
                FilterKind,
                Filters, //
            },
            params::Params,
            pattern::{
                AccessPattern,
                Action, //
            },
            quota::GoalMetric,
            scheme::{
                Dest,
                SchemeParams, //
            },
            watermarks::{
                WatermarkMetric,
                Watermarks, //
            }, //
        },
        *, //
    };

    fn limited(bytes: u64, goals: &[(GoalMetric, u64)]) -> Result<SchemeParams> {
        let mut scheme = SchemeParams::new(AccessPattern::ANY, Action::Pageout);
        scheme.apply_interval = Micros(5000);
        scheme.quota.bytes = bytes;
        scheme.quota.reset_interval = Micros::from_secs(1);
        scheme.quota.goals = list(goals)?;
        Ok(scheme)
    }

    fn list(goals: &[(GoalMetric, u64)]) -> Result<KVec<Goal>> {
        let mut list = KVec::with_capacity(goals.len(), GFP_KERNEL)?;
        for &(metric, target_value) in goals {
            list.push_within_capacity(Goal {
                metric,
                target_value,
            })?;
        }
        Ok(list)
    }

    fn with(scheme: SchemeParams) -> Result<Params<Fake>> {
        with_scheme(params(&[&[(0, 10)], &[(0, 40)]], 1)?, scheme)
    }

    /// Returns a context with a scheme that was applied once.
    fn applied(scheme: SchemeParams) -> Result<Context<Fake>> {
        let mut context = Context::new(with(scheme)?, 0)?;
        context.settings.ops.works = true;
        context.samples(1);
        context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), None);
        Ok(context)
    }

    fn scheme(context: &Context<Fake>) -> Result<&Scheme> {
        context.schemes().first().ok_or(EINVAL)
    }

    #[test]
    fn a_commit_keeps_the_charges() -> Result {
        let mut context = applied(limited(25, &[])?)?;
        assert_eq!(scheme(&context)?.quota().resumes_at(), Some((1, 15)));
        context.commit(with(limited(30, &[])?)?)?;
        let quota = scheme(&context)?.quota();
        assert_eq!((quota.charged(), quota.effective()), (25, 25));
        assert_eq!(quota.resumes_at(), Some((1, 15)));
        // Without a quota the state is dropped.
        context.commit(with(limited(0, &[])?)?)?;
        let quota = scheme(&context)?.quota();
        assert_eq!((quota.charged(), quota.effective()), (0, 0));
        assert_eq!(quota.resumes_at(), None);
        Ok(())
    }

    #[test]
    fn the_place_to_resume_follows_its_target() -> Result {
        let mut context = applied(limited(25, &[])?)?;
        let mut fewer = with(limited(25, &[])?)?;
        if let Some(first) = fewer.targets.get_mut(0) {
            first.obsolete = true;
        }
        context.commit(fewer)?;
        assert_eq!(scheme(&context)?.quota().resumes_at(), Some((0, 15)));
        // The state is dropped along with its target.
        context.commit(with_scheme(params(&[], 1)?, limited(25, &[])?)?)?;
        assert_eq!(scheme(&context)?.quota().resumes_at(), None);
        Ok(())
    }

    #[test]
    fn goals_are_matched_by_position() -> Result {
        let input = |current| (GoalMetric::UserInput(current), 100);
        let mut context = applied(limited(0, &[input(50), input(20)])?)?;
        let tuned = scheme(&context)?.quota().tuned_bp();
        assert_eq!(tuned, 15_000);
        let mut lists = KVec::new();
        lists.push(list(&[input(70)])?, GFP_KERNEL)?;
        // The second list has no scheme.
        lists.push(list(&[input(1), input(2)])?, GFP_KERNEL)?;
        context.commit_goals(lists)?;
        let now = scheme(&context)?;
        assert_eq!(now.params().quota.goals, list(&[input(70)])?);
        assert_eq!(now.quota().tuned_bp(), tuned);
        // The value is still that of the last measurement.
        assert!(now.quota().goal_values().eq([Some(50)]));
        Ok(())
    }

    #[test]
    fn a_goal_that_the_operations_do_not_support_is_refused() -> Result {
        let goal = (GoalMetric::NodeEligibleMemBp(0), 100);
        let mut context = applied(limited(25, &[])?)?;
        assert_eq!(context.commit(with(limited(7, &[goal])?)?), Err(EINVAL));
        let mut lists = KVec::new();
        lists.push(list(&[goal])?, GFP_KERNEL)?;
        assert_eq!(context.commit_goals(lists), Err(EINVAL));
        let params = &scheme(&context)?.params().quota;
        assert_eq!((params.bytes, params.goals.len()), (25, 0));
        Ok(())
    }

    #[test]
    fn filters_and_destinations_are_replaced() -> Result {
        let with_both = |nids: &[u32], kinds: &[FilterKind]| -> Result<SchemeParams> {
            let mut scheme = limited(0, &[])?;
            let mut dests = KVec::new();
            for &nid in nids {
                dests.push(Dest { nid, weight: 1 }, GFP_KERNEL)?;
            }
            let mut filters = KVec::new();
            for &kind in kinds {
                let filter = Filter {
                    kind,
                    matching: true,
                    allow: false,
                };
                filters.push(filter, GFP_KERNEL)?;
            }
            (scheme.dests, scheme.filters) = (dests.into(), Filters::new(&filters)?);
            Ok(scheme)
        };
        let lists: [(&[u32], &[FilterKind]); 4] = [
            (&[1], &[FilterKind::Target(0)]),
            (&[3, 2], &[FilterKind::Anon, FilterKind::Target(1)]),
            (&[2], &[FilterKind::Memcg(7)]),
            (&[], &[]),
        ];
        let mut context = applied(limited(0, &[])?)?;
        for (nids, kinds) in lists {
            context.commit(with(with_both(nids, kinds)?)?)?;
            assert!(*scheme(&context)?.params() == with_both(nids, kinds)?);
        }
        Ok(())
    }

    fn marked(high: u64, mid: u64) -> Result<Params<Fake>> {
        let mut scheme = limited(0, &[])?;
        scheme.watermarks = Watermarks {
            metric: WatermarkMetric::FreeMemRate,
            interval: Micros(9),
            high,
            mid,
            low: 0,
        };
        with(scheme)
    }

    #[test]
    fn a_commit_of_other_watermarks_activates_a_scheme() -> Result {
        let metrics = FakeMetrics::default();
        metrics.free_mem_permil.set(Some(500));
        let mut context = Context::new(marked(100, 0)?, 0)?;
        assert_eq!(context.check_watermarks(&metrics), Some(Micros(9)));
        context.commit(marked(100, 0)?)?;
        assert!(!scheme(&context)?.is_active());
        context.commit(marked(500, 0)?)?;
        assert!(scheme(&context)?.is_active());
        Ok(())
    }

    #[test]
    fn a_commit_of_the_same_watermarks_keeps_the_activation() -> Result {
        let metrics = FakeMetrics::default();
        let mut context = Context::new(marked(500, 300)?, 0)?;
        // Between the watermarks a scheme keeps its state.
        for (permil, active) in [(250, true), (400, true), (600, false), (400, false)] {
            metrics.free_mem_permil.set(Some(permil));
            context.check_watermarks(&metrics);
            context.commit(marked(500, 300)?)?;
            assert_eq!(scheme(&context)?.is_active(), active);
            context.check_watermarks(&metrics);
            assert_eq!(scheme(&context)?.is_active(), active);
        }
        Ok(())
    }
}
