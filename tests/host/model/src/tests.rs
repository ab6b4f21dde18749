// SPDX-License-Identifier: GPL-2.0

//! What must hold, and what must be refuted.

use crate::{
    kdamond::scenarios,
    slot,
    variants, //
};
use std::{
    env,
    io::Write,
    process::Command,
    sync::{
        atomic::{
            AtomicU64,
            Ordering::Relaxed, //
        },
        Arc,
    },
    time::Instant,
};

/// Set in a process that is to be refuted.
const REFUTE: &str = "MODEL_REFUTE";

/// Says something even if the test passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Runs `scenario` with all interleavings of at most `preemptions` preemptions, or of as many as
/// `LOOM_MAX_PREEMPTIONS` says. Returns their number in `count`, even if it fails.
fn explore(preemptions: usize, count: &Arc<AtomicU64>, scenario: fn()) -> usize {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.max_branches = 100_000;
    let bound = model.preemption_bound.unwrap_or(preemptions);
    let count = count.clone();
    model.check(move || {
        count.fetch_add(1, Relaxed);
        scenario();
    });
    bound
}

/// The scenario must hold.
fn holds(name: &str, preemptions: usize, scenario: fn()) {
    let count = Arc::default();
    let start = Instant::now();
    let preemptions = explore(preemptions, &count, scenario);
    say(&format!(
        "model {name}: holds in all {} interleavings, preemptions <= {preemptions}, {:.1} s",
        count.load(Relaxed),
        start.elapsed().as_secs_f32(),
    ));
}

/// The scenario must fail, saying `how`.
///
/// In a process of its own: a failure leaves threads behind in the middle of what they do, and
/// their values cannot be dropped in an orderly way.
fn refuted(test: &str, how: &str, scenario: fn()) {
    if env::var_os(REFUTE).is_some() {
        let count = Arc::new(AtomicU64::new(0));
        std::panic::set_hook(Box::new({
            let count = count.clone();
            move |info| say(&format!("failed in #{}: {info}", count.load(Relaxed)))
        }));
        explore(3, &count, scenario);
        return;
    }
    let output = Command::new(env::current_exe().expect("this is a program"))
        .args(["--exact", &format!("tests::{test}"), "--nocapture"])
        .env(REFUTE, "1")
        .output()
        .expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains(how),
        "{test} was not refuted by {how:?}:\n{text}"
    );
    let found = text.split("failed in #").nth(1).unwrap_or("?");
    let found = found.split(':').next().unwrap_or("?");
    say(&format!(
        "model {test}: refuted ({how}) by interleaving {found}"
    ));
}

macro_rules! hold {
    ($($test:ident: $preemptions:literal, $scenario:expr;)*) => {$(
        #[test]
        fn $test() {
            holds(stringify!($test), $preemptions, || $scenario);
        }
    )*};
}

hold! {
    calls_and_stop: 2, scenarios::calls_and_stop();
    calls_are_served: 2, scenarios::calls_are_served(false);
    calls_are_served_while_paused: 2, scenarios::calls_are_served(true);
    repeats_and_stop: 2, scenarios::repeats_and_stop();
    walk_and_stop: 2, scenarios::walk_and_stop();
    walk_after_walk: 2, scenarios::walk_after_walk(false);
    walk_after_walk_while_paused: 2, scenarios::walk_after_walk(true);
    two_walks: 2, scenarios::two_walks();
    walk_and_pause: 2, scenarios::walk_and_pause();
    signals: 2, scenarios::signals();
    call_and_restart: 2, scenarios::call_and_restart();
    walk_and_restart: 1, scenarios::walk_and_restart();
    stop_and_restart: 2, scenarios::stop_and_restart();
}

macro_rules! refute {
    ($($test:ident: $how:literal, $scenario:expr;)*) => {$(
        #[test]
        fn $test() {
            refuted(stringify!($test), $how, || $scenario);
        }
    )*};
}

refute! {
    slot_of_the_discussion: "deadlock", slot::restart();
    ended_before_room_is_made: "the second walk",
        variants::ended_before_room_is_made::scenarios::walk_after_walk(false);
    next_walk_thrown_out: "the second walk",
        variants::next_walk_thrown_out::scenarios::walk_after_walk(false);
    next_walk_lost: "deadlock", variants::next_walk_lost::scenarios::walk_after_walk(false);
    registered_after_the_check: "deadlock",
        variants::registered_after_the_check::scenarios::calls_and_stop();
    rung_before_registered: "deadlock",
        variants::rung_before_registered::scenarios::calls_are_served(false);
    answered_after_the_look: "deadlock",
        variants::answered_after_the_look::scenarios::calls_are_served(false);
    end_not_told: "deadlock", variants::end_not_told::scenarios::calls_and_stop();
    forgotten_at_the_end: "deadlock", variants::forgotten_at_the_end::scenarios::calls_and_stop();
    stop_waits_for_any_run: "deadlock",
        variants::stop_waits_for_any_run::scenarios::stop_and_restart();
    ended_twice: "cancelled, but served",
        variants::ended_twice::scenarios::calls_are_served(false);
    walk_left_in_a_pause: "deadlock",
        variants::walk_left_in_a_pause::scenarios::walk_after_walk(true);
    repeat_kept: "not dropped once", variants::repeat_kept::scenarios::repeats_and_stop();
}
