// SPDX-License-Identifier: GPL-2.0

//! The schedule of a context: what is due at a sampling tick.
//!
//! As in `struct damon_ctx`, time is counted in sampling intervals that have passed since the
//! start. None pass during a pause, so a pause keeps the position in the aggregation window.

use super::attrs::Attrs;
use kernel::prelude::*;

/// The times of the next aggregation, operations update and tuning, in sampling intervals since the
/// start.
pub(crate) struct Schedule {
    pub(crate) next_aggregation: u64,
    next_ops_update: u64,
    /// `None` while tuning is off.
    next_tuning: Option<u64>,
    /// Tuning is due at the end of the current tick.
    tuning: bool,
}

/// The steps that are due at one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// The aggregation window ends.
    pub(crate) aggregation: bool,
    /// An operations update is due: the address ranges of the targets are read again.
    pub(crate) ops_update: bool,
}

impl Schedule {
    /// Returns a schedule that starts when `passed` sampling intervals have passed.
    pub(crate) fn new(attrs: &Attrs, passed: u64) -> Self {
        Self {
            next_aggregation: passed.saturating_add(attrs.aggr_samples()),
            next_ops_update: passed.saturating_add(attrs.ops_update_samples()),
            next_tuning: attrs.tuning_samples().map(|n| passed.saturating_add(n)),
            tuning: false,
        }
    }

    /// Returns the steps that are due when `passed` sampling intervals have passed, and schedules
    /// the next ones. An interval of zero sampling intervals is due at every tick.
    pub(crate) fn begin_tick(&mut self, passed: u64, attrs: &Attrs) -> Due {
        let is_due = |next: &mut u64, interval: u64| {
            let due = passed >= *next;
            if due {
                *next = next.saturating_add(interval);
            }
            due
        };
        let aggregation = is_due(&mut self.next_aggregation, attrs.aggr_samples());
        let ops_update = is_due(&mut self.next_ops_update, attrs.ops_update_samples());
        self.tuning = match (&mut self.next_tuning, attrs.tuning_samples()) {
            // Intervals only change between two aggregation windows.
            (Some(next), Some(interval)) if aggregation => is_due(next, interval),
            _ => false,
        };
        Due {
            aggregation,
            ops_update,
        }
    }

    /// Returns whether tuning is due in the current tick, and clears that. A window that was
    /// restarted since [`Self::begin_tick`] has no results to tune by.
    pub(crate) fn take_tuning(&mut self) -> bool {
        core::mem::take(&mut self.tuning)
    }

    /// Keeps the time of the next operations update when the intervals are tuned from `old` to
    /// `attrs`, after `passed` sampling intervals. The number of samples in an aggregation window
    /// stays the same.
    pub(crate) fn tuned(&mut self, passed: u64, attrs: &Attrs, old: &Attrs) {
        if let Some(left) = self.next_ops_update.checked_sub(passed) {
            self.next_ops_update = passed.saturating_add(attrs.convert_samples(left, old));
        }
    }
}

#[kunit_tests(damon_rs_schedule)]
mod tests {
    use super::{
        super::attrs::{
            AttrsParams,
            Micros, //
        },
        *, //
    };

    fn attrs(sample: u64, aggr: u64, ops_update: u64) -> Result<Attrs> {
        Attrs::try_from(AttrsParams {
            sample: Micros(sample),
            aggr: Micros(aggr),
            ops_update: Micros(ops_update),
            ..AttrsParams::default()
        })
    }

    const NOTHING: Due = Due {
        aggregation: false,
        ops_update: false,
    };

    #[test]
    fn each_is_due_after_its_interval() -> Result {
        let attrs = attrs(5, 20, 30)?;
        let mut schedule = Schedule::new(&attrs, 100);
        assert_eq!(schedule.begin_tick(103, &attrs), NOTHING);
        let due = schedule.begin_tick(104, &attrs);
        assert!(due.aggregation && !due.ops_update);
        assert_eq!(schedule.begin_tick(105, &attrs), NOTHING);
        let due = schedule.begin_tick(106, &attrs);
        assert!(!due.aggregation && due.ops_update);
        assert_eq!(schedule.begin_tick(107, &attrs), NOTHING);
        assert!(schedule.begin_tick(108, &attrs).aggregation);
        Ok(())
    }

    #[test]
    fn a_late_step_does_not_delay_the_next_one() -> Result {
        let attrs = attrs(1, 10, 1000)?;
        let mut schedule = Schedule::new(&attrs, 0);
        assert!(schedule.begin_tick(13, &attrs).aggregation);
        assert_eq!(schedule.begin_tick(19, &attrs), NOTHING);
        assert!(schedule.begin_tick(20, &attrs).aggregation);
        Ok(())
    }

    #[test]
    fn an_interval_of_zero_is_due_at_every_tick() -> Result {
        let attrs = attrs(0, 0, 0)?;
        let mut schedule = Schedule::new(&attrs, 0);
        for passed in 1..4 {
            let due = schedule.begin_tick(passed, &attrs);
            assert!(due.aggregation && due.ops_update);
        }
        Ok(())
    }

    /// Returns the same attributes with a tuning goal that is due every `aggrs` aggregation
    /// windows.
    fn with_goal(attrs: &Attrs, aggrs: u64) -> Result<Attrs> {
        let mut params = *attrs.params();
        params.goal.aggrs = aggrs;
        params.goal.max_sample_us = Micros(u64::MAX);
        Attrs::try_from(params)
    }

    #[test]
    fn tuning_is_due_after_some_aggregations() -> Result {
        let attrs = with_goal(&attrs(5, 20, 1000)?, 3)?;
        let mut schedule = Schedule::new(&attrs, 100);
        let mut tuned_at = [0; 2];
        for tuned_at in &mut tuned_at {
            for passed in 101.. {
                let due = schedule.begin_tick(passed, &attrs);
                if schedule.take_tuning() {
                    assert!(due.aggregation && !schedule.take_tuning());
                    *tuned_at = passed;
                    break;
                }
            }
        }
        assert_eq!(tuned_at, [112, 124]);
        Ok(())
    }

    #[test]
    fn an_update_keeps_its_time_over_tuning() -> Result {
        let fast = with_goal(&attrs(5, 20, 1000)?, 1)?;
        let slow = with_goal(&attrs(10, 40, 1000)?, 1)?;
        let mut schedule = Schedule::new(&fast, 0);
        schedule.tuned(100, &slow, &fast);
        assert!(!schedule.begin_tick(149, &slow).ops_update);
        assert!(schedule.begin_tick(150, &slow).ops_update);
        // An update that is late stays late.
        let mut late = Schedule::new(&slow, 0);
        late.tuned(160, &fast, &slow);
        assert!(late.begin_tick(160, &fast).ops_update);
        Ok(())
    }

    #[test]
    fn takes_any_number() -> Result {
        let attrs = attrs(1, u64::MAX, u64::MAX)?;
        let mut schedule = Schedule::new(&attrs, 5);
        for _ in 0..2 {
            let due = schedule.begin_tick(u64::MAX, &attrs);
            assert!(due.aggregation && due.ops_update);
        }
        Ok(())
    }
}
