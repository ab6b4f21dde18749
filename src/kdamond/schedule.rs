// SPDX-License-Identifier: GPL-2.0

//! What is due at a sampling tick.
//!
//! Time is counted in sampling intervals ("sis") that have passed since the start, as
//! `struct damon_ctx` does, so that a pause, in which none pass, leaves the position in the
//! aggregation window where it was.

use crate::engine::Attrs;

/// When the next aggregation and the next operations update are due.
pub(crate) struct Schedule {
    next_aggregation: u64,
    next_ops_update: u64,
}

/// What is due at one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// The aggregation window ends.
    pub aggregation: bool,
    /// The operations layer is to be asked for changes of the address space.
    pub ops_update: bool,
}

impl Schedule {
    /// A schedule that starts when `passed` sampling intervals have passed.
    pub(crate) fn new(attrs: &Attrs, passed: u64) -> Self {
        Self {
            next_aggregation: passed.saturating_add(attrs.aggr_samples()),
            next_ops_update: passed.saturating_add(attrs.ops_update_samples()),
        }
    }

    /// What is due when `passed` sampling intervals have passed.
    pub(crate) fn due(&self, passed: u64) -> Due {
        Due {
            aggregation: passed >= self.next_aggregation,
            ops_update: passed >= self.next_ops_update,
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
