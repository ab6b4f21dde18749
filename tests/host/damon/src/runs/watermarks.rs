// SPDX-License-Identifier: GPL-2.0

//! Schemes that rest, and monitoring with them.

use super::{
    Wanted,
    World,
    WANTED, //
};
use crate::engine::{
    Micros,
    WatermarkMetric,
    Watermarks, //
};
use kernel::prelude::*;
use std::sync::atomic::Ordering::Relaxed;

/// For less than 300 of 1000, looked at every millisecond.
const MARKED: Wanted = Wanted {
    marks: Watermarks {
        metric: WatermarkMetric::FreeMemRate,
        interval: Micros(1000),
        high: 300,
        mid: 300,
        low: 0,
    },
    ..WANTED
};

#[test]
fn monitoring_rests_while_all_schemes_do() -> Result {
    let world = World::new(MARKED)?;
    // No memory is free at first.
    world.pass(2);
    let learned = world.picture()?;
    assert_eq!(learned.0, 2);
    world.metrics.0.free_mem_permil.store(301, Relaxed);
    world.pass(1);
    let _ = world.log.take();
    // From the look at it on it sleeps for the interval, and takes no sample.
    let now = world.wakeup.settled().expect("it sleeps");
    world.pass(1);
    assert_eq!(world.wakeup.settled(), Some(now + 1_000_000));
    world.pass(5);
    assert_eq!(world.wakeup.settled(), Some(now + 6_000_000));
    assert_eq!(world.log.take(), [""; 0]);
    // Requests are served, and change nothing of it.
    let resting = world.picture()?;
    assert_eq!(resting.1, world.picture()?.1);
    assert_eq!(world.wakeup.settled(), Some(now + 6_000_000));
    // It goes on with a new sample where it was.
    world.metrics.0.free_mem_permil.store(299, Relaxed);
    world.pass(1);
    assert_eq!(world.log.take(), ["prepare"]);
    world.pass(1);
    assert_eq!(world.picture()?.0, resting.0 + 1);
    Ok(())
}

#[test]
fn other_marks_are_looked_at_at_once() -> Result {
    let world = World::new(MARKED)?;
    world.metrics.0.free_mem_permil.store(500, Relaxed);
    world.pass(2);
    let _ = world.log.take();
    world.commit(WANTED)?;
    assert_eq!(world.log.take(), ["prepare"]);
    Ok(())
}

#[test]
fn what_cannot_be_told_is_no_reason_to_rest() -> Result {
    let world = World::new(MARKED)?;
    world.metrics.0.free_mem_permil.store(1001, Relaxed);
    world.pass(3);
    assert_eq!(world.picture()?.0, 3);
    Ok(())
}
