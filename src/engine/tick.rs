// SPDX-License-Identifier: GPL-2.0

//! A sampling tick: the steps of monitoring, in their order.
//!
//! ```text
//! begin_tick:   check → [the aggregation window ends: merge, start the next window]
//!               the kdamond makes its repeating calls
//! finish_tick:  [schemes are due: apply] → [tuning is due: tune]
//!               → [a window has ended: report, split] → [an update is due: update] → prepare
//! ```
//!
//! The order is that of `kdamond_fn()`, with one exception: the next aggregation window starts
//! before the calls and the schemes, not behind them. [`Region::last_nr_accesses`] is always the
//! result of the last complete window, for each reader and at each time.
//!
//! Where most of the samples that are prepared with the check are those that are prepared in the
//! end, one pass over the regions does both, and little or nothing is left for the end.
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
    machine::Machine,
    operations::{
        Operations,
        Pass,
        PassKind, //
    },
    schedule::Due, //
};

/// The first half of a sampling tick is done, and the second is not.
#[must_use = "a tick has two halves"]
pub struct Tick {
    due: Due,
    /// Some schemes are due.
    schemes: bool,
}

impl<O: Operations> Context<O> {
    /// Prepares a sample of each region: the start of monitoring, and its continuation after a
    /// pause. Samples that were prepared before are dropped.
    pub fn prepare(&mut self) {
        for target in &mut self.targets {
            target.regions.forget_samples();
        }
        self.sample(PassKind::Prepare);
    }

    /// The first half of a sampling tick, when a sampling interval has passed: checks the prepared
    /// samples. At the end of an aggregation window it merges regions and starts the next window.
    ///
    /// A commit is allowed before [`Self::finish_tick`].
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

    /// The second half of a sampling tick: applies the schemes that are due, tunes the intervals,
    /// reports the results of a window that has ended, splits regions, reads the address ranges
    /// of the targets again, and prepares the next samples.
    ///
    /// `walker` is shown each region and scheme, each scheme in one of its intervals only. Returns
    /// whether the walk is complete, which it is when each scheme has had an interval since
    /// [`Self::begin_walk`].
    pub fn finish_tick(
        &mut self,
        tick: Tick,
        events: &mut dyn Events,
        machine: &dyn Machine,
        walker: Option<&mut dyn Walker>,
    ) -> bool {
        let walked = tick.schemes && self.apply_schemes(events, machine, walker);
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

    /// Whether samples can as well be prepared before all that is due when `passed` sampling
    /// intervals have passed: schemes, and an aggregation or none.
    ///
    /// They can unless a scheme looks at memory, which must not look untouched because of a sample
    /// that was prepared just now. Regions that are merged or split need other samples, so there is
    /// no use in it where most of them are likely to.
    fn keeps_samples(&self, passed: u64, aggregation: bool) -> bool {
        let Settings { ops, .. } = &self.settings;
        let mut due = self.schemes.iter().filter(|its| its.takes_part(passed));
        !(aggregation && self.progress.split) && due.all(|its| !ops.acts(its.params()))
    }

    /// One pass over all regions.
    pub(crate) fn sample(&mut self, kind: PassKind) {
        if self.settings.probes.are_weighted() {
            return self.sample_attributes(kind);
        }
        let Settings {
            ops, attrs, probes, ..
        } = &mut self.settings;
        let mut pass = Pass::new(kind, attrs.window(), probes, &mut self.progress.rng);
        for target in &mut self.targets {
            let regions = &mut target.regions;
            if kind != PassKind::Prepare || regions.need_samples() {
                ops.sample(&target.space, regions.as_mut_slice(), &mut pass);
                regions.passed(pass.prepares());
            }
        }
    }

    /// As [`Self::sample`] where attributes are sampled and no accesses: nothing is prepared, and the
    /// addresses are chosen by the check.
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
