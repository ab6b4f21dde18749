// SPDX-License-Identifier: GPL-2.0

//! Measures how far the goals of a quota are reached.

use super::super::{
    context::Target,
    feedback::GOAL,
    metrics::SystemMetrics,
    num::mul_div,
    operations::Operations,
    pattern::AccessPattern,
    pauses::Pauses,
    quota::{
        Goal,
        GoalMetric,
        GoalState, //
    },
    regions::rate::LatestInterval, //
};
use core::mem;
use kernel::prelude::*;

/// The inputs of the measurement.
pub(crate) struct Gauge<'a, O: Operations> {
    pub(crate) metrics: &'a dyn SystemMetrics,
    pub(crate) pauses: &'a Pauses,
    pub(crate) ops: &'a mut O,
    pub(crate) targets: &'a [Target<O::Space>],
    pub(crate) pattern: &'a AccessPattern,
    pub(crate) latest: LatestInterval,
}

impl<O: Operations> Gauge<'_, O> {
    /// Measures the goals. Returns the highest of their scores in basis points, which leads to the
    /// smallest quota, like `damos_quota_score()`. A goal without a value is left out. Returns
    /// `None` if no goal has a value.
    pub(crate) fn score(&mut self, goals: &[Goal], states: &mut [GoalState]) -> Option<u64> {
        let mut highest = None;
        for (goal, state) in goals.iter().zip(states) {
            state.value = self.measure(goal.metric, state);
            let score = state
                .value
                .map(|value| mul_div(value, GOAL, goal.target_value));
            highest = highest.max(score);
        }
        highest
    }

    fn measure(&mut self, metric: GoalMetric, state: &mut GoalState) -> Option<u64> {
        let metrics = self.metrics;
        match metric {
            GoalMetric::UserInput(value) => Some(value),
            GoalMetric::SomeMemPsiUs => {
                let now = self.pauses.psi_us(metrics);
                let last = mem::replace(&mut state.last_psi_us, now)?;
                now.map(|now| now.saturating_sub(last))
            }
            GoalMetric::NodeMemUsedBp(nid) => metrics.node_mem_used_bp(nid),
            GoalMetric::NodeMemFreeBp(nid) => metrics.node_mem_free_bp(nid),
            GoalMetric::NodeMemcgUsedBp(nid, memcg) => metrics.node_memcg_used_bp(nid, memcg),
            GoalMetric::NodeMemcgFreeBp(nid, memcg) => metrics.node_memcg_free_bp(nid, memcg),
            GoalMetric::ActiveMemBp => metrics.active_mem_bp(),
            GoalMetric::InactiveMemBp => metrics.inactive_mem_bp(),
            // A node without memory can have no part of it.
            GoalMetric::NodeEligibleMemBp(nid) => {
                metrics.node_mem_free_bp(nid).map(|_| self.eligible_bp(nid))
            }
        }
    }

    /// Returns the part of the memory matching the access pattern that is on a node, in basis
    /// points. Corresponds to `damos_get_node_eligible_mem_bp()`.
    fn eligible_bp(&mut self, nid: i32) -> u64 {
        let (mut bytes, mut on_node): (u64, u64) = (0, 0);
        for target in self.targets {
            for region in target.regions() {
                let nr_accesses = region.recent_nr_accesses(&self.latest);
                if self.pattern.matches(region, nr_accesses) {
                    let eligible = self.ops.eligible(&target.space, region, nid);
                    bytes = bytes.saturating_add(eligible.bytes);
                    on_node = on_node.saturating_add(eligible.on_node);
                }
            }
        }
        match bytes {
            0 => 0,
            bytes => mul_div(on_node, 10_000, bytes),
        }
    }
}

#[kunit_tests(damon_rs_goals)]
mod tests {
    use super::{
        super::super::{
            context::Context,
            fake::{
                params,
                Fake,
                FakeMetrics, //
            },
            pattern::MinMax, //
        },
        *, //
    };

    /// Returns the score of goals in a context with half of its memory on node 1.
    fn score(
        goals: &[(GoalMetric, u64)],
        metrics: &FakeMetrics,
        pauses: &Pauses,
        states: &mut [GoalState],
    ) -> Result<Option<u64>> {
        let mut context: Context<Fake> = Context::new(params(&[&[(0, 100)], &[(0, 300)]], 1)?, 0)?;
        let pattern = AccessPattern {
            sz: MinMax { min: 200, max: 400 },
            ..AccessPattern::ANY
        };
        let mut list = KVec::new();
        for &(metric, target_value) in goals {
            let goal = Goal {
                metric,
                target_value,
            };
            list.push(goal, GFP_KERNEL)?;
        }
        let mut gauge = Gauge {
            metrics,
            pauses,
            ops: &mut context.settings.ops,
            targets: &context.targets,
            pattern: &pattern,
            latest: LatestInterval::new(context.settings.attrs.window(), 0),
        };
        Ok(gauge.score(&list, states))
    }

    #[test]
    fn the_highest_score_counts() -> Result {
        let (metrics, pauses) = (FakeMetrics::default(), Pauses::default());
        metrics.metric.set(Some(3_000));
        let score = |goals: &[(GoalMetric, u64)]| {
            score(goals, &metrics, &pauses, &mut [GoalState::default(); 4])
        };
        assert_eq!(score(&[])?, None);
        let input = (GoalMetric::UserInput(500), 1_000);
        assert_eq!(score(&[input])?, Some(5_000));
        let free = (GoalMetric::NodeMemFreeBp(0), 3_000);
        assert_eq!(score(&[input, free])?, Some(10_000));
        let huge = (GoalMetric::UserInput(u64::MAX), 1);
        assert_eq!(score(&[huge])?, Some(u64::MAX));
        // Half of the fake memory is on node 1, and nothing on other nodes.
        assert_eq!(
            score(&[(GoalMetric::NodeEligibleMemBp(1), 10_000)])?,
            Some(5_000)
        );
        assert_eq!(
            score(&[(GoalMetric::NodeEligibleMemBp(7), 10_000)])?,
            Some(0)
        );
        Ok(())
    }

    #[test]
    fn a_goal_that_cannot_be_measured_is_left_out() -> Result {
        let (metrics, pauses) = (FakeMetrics::default(), Pauses::default());
        let input = (GoalMetric::UserInput(500), 1_000);
        for metric in [
            GoalMetric::SomeMemPsiUs,
            GoalMetric::NodeMemUsedBp(7),
            GoalMetric::NodeMemFreeBp(7),
            GoalMetric::NodeMemcgUsedBp(7, 1),
            GoalMetric::NodeMemcgFreeBp(7, 1),
            GoalMetric::ActiveMemBp,
            GoalMetric::InactiveMemBp,
            GoalMetric::NodeEligibleMemBp(7),
        ] {
            let mut states = [GoalState::default(); 2];
            for _ in 0..2 {
                let score = |goals: &[(GoalMetric, u64)], states: &mut [GoalState]| {
                    score(goals, &metrics, &pauses, states)
                };
                assert_eq!(score(&[(metric, 1)], &mut states)?, None);
                assert_eq!(states[0].value(), None);
                assert_eq!(score(&[(metric, 1), input], &mut states)?, Some(5_000));
            }
        }
        Ok(())
    }

    #[test]
    fn pressure_is_the_increase_since_the_last_reading() -> Result {
        let (metrics, mut pauses) = (FakeMetrics::default(), Pauses::default());
        let mut states = [GoalState::default()];
        let mut look = |psi: Option<u64>, pauses: &Pauses| {
            metrics.some_mem_psi_us.set(psi);
            let goal = (GoalMetric::SomeMemPsiUs, 100);
            score(&[goal], &metrics, pauses, &mut states)
        };
        assert_eq!(look(Some(70_000), &pauses)?, None);
        assert_eq!(look(Some(70_050), &pauses)?, Some(5_000));
        assert_eq!(look(Some(70_050), &pauses)?, Some(0));
        // The pressure during a pause does not count.
        metrics.some_mem_psi_us.set(Some(70_060));
        pauses.begin(&metrics);
        metrics.some_mem_psi_us.set(Some(99_000));
        pauses.end(&metrics);
        assert_eq!(look(Some(99_040), &pauses)?, Some(5_000));
        // After a time without accounting, the next value needs two readings again.
        assert_eq!(look(None, &pauses)?, None);
        assert_eq!(look(Some(99_090), &pauses)?, None);
        assert_eq!(look(Some(99_090), &pauses)?, Some(0));
        Ok(())
    }
}
