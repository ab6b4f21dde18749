// SPDX-License-Identifier: GPL-2.0

//! A sampling tick: the steps of monitoring, in their order.
//!
//! ```text
//! begin_tick:   check → [the aggregation window ends: merge, start the next window]
//!               the kdamond runs its repeating calls
//! finish_tick:  [schemes are due: apply] → [tuning is due: tune]
//!               → [a window has ended: report, split] → [an update is due: update] → prepare
//! ```
//!
//! The order is that of `kdamond_fn()`, with one exception: the next aggregation window starts
//! before the calls and the schemes, and not after them. [`Region::last_nr_accesses`] is therefore
//! the result of the last complete window for each reader and at each time.
//!
//! Where most of the samples that are prepared along with the access check survive the rest of the
//! tick, one pass over the regions does both, and the last step prepares few samples or none.
//!
//! No preparation of a tick is visible to a check of the same tick, in any target: see
//! [`Operations::sample`] for one pass over targets that have no memory in common, and
//! [`Context::find_shared`] for those that have.
//!
//! [`Region::last_nr_accesses`]: super::Region::last_nr_accesses

use super::{
    context::{
        Context,
        Settings, //
    },
    events::{
        Events,
        Walker, //
    },
    metrics::SystemMetrics,
    operations::{
        Operations,
        Pass,
        PassKind, //
    },
    schedule::Due, //
};

/// The state between the two halves of a sampling tick: [`Context::begin_tick`] returns it, and
/// [`Context::finish_tick`] consumes it.
#[must_use = "pass it to `finish_tick()`"]
pub struct Tick {
    due: Due,
    /// At least one scheme is due.
    schemes: bool,
}

impl<O: Operations> Context<O> {
    /// Prepares a sample of each region. Samples that were prepared before are dropped.
    ///
    /// The caller does this when monitoring starts, and when it resumes after a pause or after a
    /// time in which all schemes were inactive.
    pub fn prepare(&mut self) {
        for target in &mut self.targets {
            target.regions.forget_samples();
        }
        self.sample(PassKind::Prepare);
    }

    /// Runs the first half of a sampling tick. The caller calls it when a sampling interval has
    /// passed.
    ///
    /// Checks the prepared samples. At the end of an aggregation window it also merges regions and
    /// starts the next window.
    ///
    /// The caller may commit parameters between this and [`Self::finish_tick`].
    pub fn begin_tick(&mut self) -> Tick {
        self.pass();
        let passed = self.progress.passed;
        let due = self
            .progress
            .schedule
            .begin_tick(passed, &self.settings.attrs);
        let schemes = self.schemes_due_at(passed);
        self.sample(if self.keeps_samples(passed, due.aggregation) {
            PassKind::CheckAndPrepare
        } else {
            PassKind::Check
        });
        if due.aggregation {
            self.merge();
            self.start_window();
        }
        Tick { due, schemes }
    }

    /// Runs the second half of a sampling tick: applies the schemes that are due, tunes the
    /// intervals, reports the results of a window that has ended, splits regions, reads the address
    /// ranges of the targets again, and prepares the next samples.
    ///
    /// `walker` visits each region that a scheme is applied to, for one apply interval of each
    /// scheme. Returns `true` when the walk is complete: each scheme has had an apply interval
    /// since [`Self::begin_walk`].
    pub fn finish_tick(
        &mut self,
        tick: Tick,
        events: &mut dyn Events,
        metrics: &dyn SystemMetrics,
        walker: Option<&mut dyn Walker>,
    ) -> bool {
        let walked = tick.schemes && self.apply_schemes(events, metrics, walker);
        if self.progress.schedule.take_tuning() {
            self.tune(events);
        }
        if tick.due.aggregation {
            self.report(events);
            self.split();
        }
        if tick.due.ops_update {
            self.update();
        }
        self.sample(PassKind::Prepare);
        walked
    }

    /// Counts a sampling interval.
    pub(super) fn pass(&mut self) {
        let progress = &mut self.progress;
        progress.passed = progress.passed.saturating_add(1);
        progress.in_window = progress.in_window.saturating_add(1);
    }

    /// Returns whether the next samples can be prepared along with the check, before the other
    /// steps that are due when `passed` sampling intervals have passed: schemes and, if
    /// `aggregation`, the end of a window.
    ///
    /// They cannot if a due scheme inspects memory. To prepare a sample clears the accessed bit,
    /// and memory with a sample that was prepared just now would look idle to the scheme. At the
    /// end of a window there is no gain if regions are likely to be merged and split, because those
    /// need new samples.
    fn keeps_samples(&self, passed: u64, aggregation: bool) -> bool {
        let Settings { ops, .. } = &self.settings;
        let mut due = self.schemes.iter().filter(|its| its.takes_part(passed));
        !(aggregation && self.progress.split) && due.all(|its| !ops.acts(its.params()))
    }

    /// Passes over all regions once.
    pub(crate) fn sample(&mut self, kind: PassKind) {
        if self.settings.probes.are_weighted() {
            return self.sample_attributes(kind);
        }
        let Settings {
            ops, attrs, probes, ..
        } = &mut self.settings;
        let mut pass = Pass::new(kind, attrs.window(), probes, &mut self.progress.rng);
        ops.begin_pass();
        for target in &mut self.targets {
            let regions = &mut target.regions;
            if kind != PassKind::Prepare || regions.need_samples() {
                // A target that shares memory is prepared when all targets have been checked.
                pass.begin_target(match kind {
                    PassKind::CheckAndPrepare if target.shared => PassKind::Check,
                    kind => kind,
                });
                ops.sample(&target.space, regions.as_mut_slice(), &mut pass);
                regions.passed(pass.prepared_all());
            }
        }
    }

    /// Passes over all regions where data attributes are sampled instead of accesses. Nothing is
    /// prepared: the check itself picks the sampling addresses.
    fn sample_attributes(&mut self, kind: PassKind) {
        if kind == PassKind::Prepare {
            return;
        }
        let Settings {
            ops, attrs, probes, ..
        } = &mut self.settings;
        let rng = &mut self.progress.rng;
        for target in &mut self.targets {
            for region in target.regions.as_mut_slice() {
                region.prepare(rng.range(region.start(), region.end()));
            }
            let mut pass = Pass::new(PassKind::Probe, attrs.window(), probes, rng);
            ops.sample(&target.space, target.regions.as_mut_slice(), &mut pass);
        }
    }
}
