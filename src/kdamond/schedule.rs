// SPDX-License-Identifier: GPL-2.0

//! What is due at a sampling tick.
//!
//! Time is counted in sampling intervals ("sis") that have passed since the start, as
//! `struct damon_ctx` does, so that a pause, in which none pass, leaves the position in the
//! aggregation window where it was.

use crate::engine::Attrs;

/// When the next aggregation, operations update and tuning are due.
pub(crate) struct Schedule {
    next_aggregation: u64,
    next_ops_update: u64,
    /// `None` while tuning is off.
    next_tuning: Option<u64>,
}

/// What is due at one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// The aggregation window ends.
    pub aggregation: bool,
    /// The operations layer is to be asked for changes of the address space.
    pub ops_update: bool,
    /// The intervals are to be tuned, which is at the end of an aggregation window only.
    pub tuning: bool,
}

impl Schedule {
    /// A schedule that starts when `passed` sampling intervals have passed.
    pub(crate) fn new(attrs: &Attrs, passed: u64) -> Self {
        Self {
            next_aggregation: passed.saturating_add(attrs.aggr_samples()),
            next_ops_update: passed.saturating_add(attrs.ops_update_samples()),
            next_tuning: attrs.tuning_samples().map(|n| passed.saturating_add(n)),
        }
    }

    /// What is due when `passed` sampling intervals have passed.
    pub(crate) fn due(&self, passed: u64) -> Due {
        let aggregation = passed >= self.next_aggregation;
        Due {
            aggregation,
            ops_update: passed >= self.next_ops_update,
            tuning: aggregation && self.next_tuning.is_some_and(|next| passed >= next),
        }
    }

    /// Keeps the times of what is planned, as intervals were tuned from `old` when `passed` sampling
    /// intervals have passed. Their number in an aggregation window stays the same.
    pub(crate) fn tuned(&mut self, passed: u64, attrs: &Attrs, old: &Attrs) {
        if let Some(left) = self.next_ops_update.checked_sub(passed) {
            self.next_ops_update = passed.saturating_add(attrs.convert_samples(left, old));
        }
    }

    /// Plans the next occasion of what was `done`.
    pub(crate) fn advance(&mut self, done: Due, attrs: &Attrs) {
        // An interval of zero sampling intervals is due at every tick.
        if done.aggregation {
            self.next_aggregation = self.next_aggregation.saturating_add(attrs.aggr_samples());
        }
        if done.ops_update {
            self.next_ops_update = self
                .next_ops_update
                .saturating_add(attrs.ops_update_samples());
        }
        if let (true, Some(next), Some(samples)) =
            (done.tuning, self.next_tuning, attrs.tuning_samples())
        {
            self.next_tuning = Some(next.saturating_add(samples));
        }
    }
}

#[kernel::prelude::kunit_tests(damon_rs_schedule)]
mod tests {
    use super::{
        Due,
        Schedule, //
    };
    use crate::engine::{
        Attrs,
        AttrsParams,
        Micros, //
    };
    use kernel::prelude::*;

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
        tuning: false,
    };

    #[test]
    fn each_is_due_after_its_interval() -> Result {
        let attrs = attrs(5, 20, 30)?;
        let mut schedule = Schedule::new(&attrs, 100);
        assert_eq!(schedule.due(103), NOTHING);
        let due = schedule.due(104);
        assert!(due.aggregation && !due.ops_update);
        schedule.advance(due, &attrs);
        assert_eq!(schedule.due(105), NOTHING);
        let due = schedule.due(106);
        assert!(!due.aggregation && due.ops_update);
        schedule.advance(due, &attrs);
        assert_eq!(schedule.due(107), NOTHING);
        assert!(schedule.due(108).aggregation);
        Ok(())
    }

    #[test]
    fn what_is_late_is_due_from_when_it_should_have_been() -> Result {
        let attrs = attrs(1, 10, 1000)?;
        let mut schedule = Schedule::new(&attrs, 0);
        schedule.advance(schedule.due(13), &attrs);
        assert_eq!(schedule.due(19), NOTHING);
        assert!(schedule.due(20).aggregation);
        Ok(())
    }

    #[test]
    fn an_interval_of_zero_is_due_at_every_tick() -> Result {
        let attrs = attrs(0, 0, 0)?;
        let mut schedule = Schedule::new(&attrs, 0);
        for passed in 1..4 {
            let due = schedule.due(passed);
            assert!(due.aggregation && due.ops_update);
            schedule.advance(due, &attrs);
        }
        Ok(())
    }

    /// The same with a goal for every `aggrs` aggregation windows.
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
                let due = schedule.due(passed);
                assert!(due.aggregation || !due.tuning);
                schedule.advance(due, &attrs);
                if due.tuning {
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
        assert!(!schedule.due(149).ops_update);
        assert!(schedule.due(150).ops_update);
        // One that is late stays late.
        schedule.tuned(160, &fast, &slow);
        assert!(schedule.due(160).ops_update);
        Ok(())
    }

    #[test]
    fn takes_any_number() -> Result {
        let attrs = attrs(1, u64::MAX, u64::MAX)?;
        let mut schedule = Schedule::new(&attrs, 5);
        let due = schedule.due(u64::MAX);
        assert!(due.aggregation && due.ops_update);
        schedule.advance(due, &attrs);
        assert!(schedule.due(u64::MAX).aggregation);
        Ok(())
    }
}
