// SPDX-License-Identifier: GPL-2.0

//! When intervals are tuned, and results shown without waiting for them.

use super::{
    params,
    Wanted,
    World,
    WANTED, //
};
use crate::engine::{
    IntervalsGoal,
    Micros, //
};
use kernel::prelude::*;

/// All is accessed, and half of it is wanted: the intervals are halved as long as they may be.
const TUNED: Wanted = Wanted {
    goal: IntervalsGoal {
        access_bp: 5000,
        aggrs: 2,
        min_sample_us: Micros(4),
        max_sample_us: Micros(10),
    },
    ..WANTED
};

impl World {
    fn intervals(&self) -> Result<(u64, u64)> {
        let intervals = self.mailbox.call(|context| {
            let attrs = context.attrs();
            (attrs.sample().0, attrs.aggr().0)
        });
        let _ = self.wakeup.settled();
        intervals
    }
}

#[test]
fn intervals_are_tuned_after_some_aggregations() -> Result {
    let world = World::new(TUNED)?;
    world.pass(7);
    assert!(!world.log.take().contains(&"tuned"));
    world.pass(1);
    // After the schemes, on complete counts, and before they are told.
    let log = world.log.take();
    let tuned = log.iter().position(|what| *what == "tuned");
    assert!(tuned > log.iter().position(|what| *what == "apply"));
    assert!(tuned < log.iter().position(|what| *what == "aggregated"));
    assert_eq!(world.intervals()?, (5, 20));
    // Not shorter than the goal admits.
    world.pass(8);
    assert_eq!(world.intervals()?, (4, 16));
    world.pass(8);
    assert_eq!(world.intervals()?, (4, 16));
    Ok(())
}

#[test]
fn nothing_is_tuned_while_paused() -> Result {
    let world = World::new(TUNED)?;
    world.pass(6);
    world.commit(Wanted {
        pause: true,
        ..TUNED
    })?;
    world.pass(100);
    assert_eq!(world.intervals()?, (10, 40));
    assert!(!world.log.take().contains(&"tuned"));
    world.commit(TUNED)?;
    world.pass(2);
    assert_eq!(world.intervals()?, (5, 20));
    Ok(())
}

#[test]
fn a_commit_ends_what_tuning_has_come_to() -> Result {
    let world = World::new(TUNED)?;
    world.pass(8);
    assert_eq!(world.intervals()?, (5, 20));
    world.pass(1);
    // The intervals of the commit are others than the tuned ones.
    world.commit(TUNED)?;
    assert_eq!(world.intervals()?, (10, 40));
    world.pass(7);
    assert_eq!(world.intervals()?, (10, 40));
    world.pass(1);
    assert_eq!(world.intervals()?, (5, 20));
    // A commit of the tuned ones leaves all as it is, the time of the next tuning too.
    world.pass(7);
    let attrs = world.mailbox.call(|context| *context.attrs())?;
    let mut same = params(&world.log, TUNED)?;
    same.attrs = attrs;
    world
        .mailbox
        .call(|context| context.commit(same).map(drop))??;
    world.pass(1);
    assert_eq!(world.intervals()?, (4, 16));
    Ok(())
}

#[test]
fn results_are_shown_without_a_walk() -> Result {
    let world = World::new(WANTED)?;
    let show = || {
        let mut log = world.log.clone();
        let shown = world
            .mailbox
            .call(move |context| context.show_latest(&mut log));
        let _ = world.wakeup.settled();
        shown
    };
    world.pass(3);
    assert!(!show()?);
    world.pass(1);
    let _ = world.log.take();
    assert!(show()?);
    assert!(world.log.take().starts_with(&["visit"]));
    world.commit(Wanted {
        pause: true,
        ..WANTED
    })?;
    assert!(!show()?);
    Ok(())
}
