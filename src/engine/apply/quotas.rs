// SPDX-License-Identifier: GPL-2.0

//! The adjustment of quotas before schemes are applied, like `damos_adjust_quota()`.

use super::{
    super::{
        context::{
            Context,
            Settings, //
        },
        events::Events,
        filter::verdict::VerdictCache,
        metrics::SystemMetrics,
        operations::Operations,
        quota::priority::{
            Histogram,
            Scorer, //
        },
        scheme::Scheme, //
    },
    goals::Gauge, //
};
use crate::panic_free::indexed;

impl<O: Operations> Context<O> {
    /// Starts a new charge window for each due scheme if its quota reset interval has expired, and
    /// recomputes the priority threshold of each due scheme.
    pub(crate) fn adjust_quotas(&mut self, events: &mut dyn Events, metrics: &dyn SystemMetrics) {
        let passed = self.progress.passed;
        let latest = self.latest_interval();
        for index in 0..self.schemes.len() {
            let Some(scheme) = self.schemes.get_mut(index) else {
                break;
            };
            if !scheme.takes_part(passed) {
                continue;
            }
            let Scheme { params, state } = scheme;
            if !params.quota.is_set() {
                continue;
            }
            let Settings {
                ops, min_region_sz, ..
            } = &mut self.settings;
            let pauses = &self.progress.pauses;
            let mut gauge = Gauge {
                metrics,
                pauses,
                ops,
                targets: &self.targets,
                pattern: &params.pattern,
                latest,
            };
            let advanced = state.quota.advance(
                &params.quota,
                *min_region_sz,
                pauses.now_ns(metrics),
                |goals| gauge.score(&params.quota.goals, goals),
            );
            if advanced.exceeded {
                state.stat.count_exceeded();
            }
            if advanced.changed {
                events.effective_quota(index, state.quota.effective());
            }
            self.prioritize(index);
        }
    }

    /// Computes the priority threshold of a scheme: the score that a region must reach to have the
    /// action applied.
    fn prioritize(&mut self, index: usize) {
        let latest = self.latest_interval();
        let Settings {
            ops,
            min_region_sz,
            attrs,
            ..
        } = &self.settings;
        let Some(Scheme { params, state }) = self.schemes.get_mut(index) else {
            return;
        };
        if !ops.supports(params.action) {
            // The action has no effect, so no region needs priority.
            state.quota.min_score = 0;
            return;
        }
        let mut histogram = Histogram::new();
        let mut scorer = Scorer::new(attrs, &params.quota.weights, params.action);
        for (index, target) in indexed(&self.targets) {
            if !ops.is_valid(&target.space) {
                continue;
            }
            let mut verdicts = VerdictCache::default();
            for region in target.regions() {
                let nr_accesses = region.recent_nr_accesses(&latest);
                if !params.pattern.matches(region, nr_accesses) {
                    continue;
                }
                let (start, end) = (region.start(), region.end());
                let size = if verdicts.passes(end) {
                    region.size()
                } else {
                    verdicts.size_passed(&params.filters, index, start, end, *min_region_sz)
                };
                histogram.add(scorer.score(nr_accesses, region.age()), size);
            }
        }
        state.quota.min_score = histogram.min_score(state.quota.effective());
    }
}
