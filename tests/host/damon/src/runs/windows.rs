// SPDX-License-Identifier: GPL-2.0

//! Aggregation windows: when a commit begins a new one, and when that ends.

use super::{
    params,
    Wanted,
    World,
    WANTED, //
};
use kernel::prelude::*;

#[test]
fn new_intervals_are_a_new_window() -> Result {
    let world = World::new(WANTED)?;
    world.pass(3);
    world.commit(Wanted {
        sample: 20,
        ..WANTED
    })?;
    let _ = world.log.take();
    world.pass(1);
    assert_eq!(world.log.take(), ["check and prepare"]);
    world.pass(1);
    assert!(world.log.take().contains(&"aggregated"));
    Ok(())
}

/// A repeating call that commits `wanted` at its turn `turn`, counted from one.
fn commit_at(world: &World, turn: u32, wanted: Wanted) -> Result {
    let log = world.log.clone();
    let mut turns = 0;
    world.mailbox.call_repeatedly(move |context| {
        turns += 1;
        if turns == turn {
            let params = params(&log, wanted).expect("there is memory");
            let committed = context.commit(params).map(drop);
            log.note(if committed.is_ok() {
                "committed"
            } else {
                "refused"
            });
        }
    })
}

/// After how many ticks from now the window ends.
fn ticks_to_the_end(world: &World) -> usize {
    for ticks in 1..100 {
        let _ = world.log.take();
        world.pass(1);
        if world.log.take().contains(&"aggregated") {
            return ticks;
        }
    }
    0
}

#[test]
fn new_intervals_of_a_repeating_call_are_a_new_window() -> Result {
    // Two samples a window, where there were four.
    let wanted = Wanted {
        sample: 20,
        ..WANTED
    };
    // In the middle of a window, and at its end.
    for turn in [1, 4] {
        let world = World::new(WANTED)?;
        commit_at(&world, turn, wanted)?;
        let _ = world.wakeup.settled();
        world.pass(turn);
        let log = world.log.take();
        assert!(log.contains(&"committed"), "{log:?}");
        assert_eq!(log.contains(&"aggregated"), turn == 4);
        assert_eq!(ticks_to_the_end(&world), 2, "after turn {turn}");
        assert_eq!(ticks_to_the_end(&world), 2);
    }
    // And longer windows: eight samples.
    for turn in [1, 4] {
        let world = World::new(WANTED)?;
        commit_at(
            &world,
            turn,
            Wanted {
                sample: 5,
                ..WANTED
            },
        )?;
        let _ = world.wakeup.settled();
        world.pass(turn);
        assert_eq!(ticks_to_the_end(&world), 8, "after turn {turn}");
        assert_eq!(ticks_to_the_end(&world), 8);
    }
    Ok(())
}

#[test]
fn a_window_that_two_commits_began_is_new() -> Result {
    let world = World::new(WANTED)?;
    world.pass(3);
    let other = params(
        &world.log,
        Wanted {
            sample: 20,
            ..WANTED
        },
    )?;
    let same = params(&world.log, WANTED)?;
    // The second takes the first back before anything happens; the counts are gone all the same.
    world.mailbox.call(|context| {
        context.commit(other)?;
        context.commit(same).map(drop)
    })??;
    assert_eq!(world.nr_accesses()?, [0; 3]);
    let _ = world.log.take();
    world.pass(3);
    assert!(!world.log.take().contains(&"aggregated"));
    world.pass(1);
    assert!(world.log.take().contains(&"aggregated"));
    Ok(())
}
