// SPDX-License-Identifier: GPL-2.0

//! What must hold, and what must be refuted.

use crate::{
    kdamond::{
        handles,
        scenarios, //
    },
    mistakes,
    slot, //
};
use std::{
    env,
    io::Write,
    process::Command,
    sync::{
        atomic::{
            AtomicU64,
            AtomicUsize,
            Ordering::{
                AcqRel,
                Relaxed, //
            }, //
        },
        Arc,
    },
    time::Instant,
};

/// Set in a process that is to be refuted.
const REFUTE: &str = "MODEL_REFUTE";

/// What such a process says if it fails for another reason than all of its mistakes.
const UNREACHED: &str = "no code with one of the mistakes has run";

/// How many preemptions a mistake may take to show.
const TO_REFUTE: usize = 3;

/// As many threads as the checker can have.
const THREADS: usize = 5;

/// Says something even if the test passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What all tests of this process have done so far.
struct Total {
    interleavings: AtomicU64,
    held: AtomicUsize,
    refuted: AtomicUsize,
    threads: AtomicUsize,
    preemptions: AtomicUsize,
    tests: AtomicUsize,
}

static TOTAL: Total = Total {
    interleavings: AtomicU64::new(0),
    held: AtomicUsize::new(0),
    refuted: AtomicUsize::new(0),
    threads: AtomicUsize::new(0),
    preemptions: AtomicUsize::new(0),
    tests: AtomicUsize::new(0),
};

impl Total {
    /// A test has passed. The last one of all says what they have done together.
    fn passed(&self) {
        let all = HOLD.len() + MISTAKES.len() + TOGETHER.len();
        if self.tests.fetch_add(1, AcqRel) + 1 < all {
            return;
        }
        say(&format!(
            "model: {} scenarios hold in {} interleavings, threads <= {}, preemptions <= {}; \
             {} broken variants refuted",
            self.held.load(Relaxed),
            self.interleavings.load(Relaxed),
            self.threads.load(Relaxed),
            self.preemptions.load(Relaxed),
            self.refuted.load(Relaxed),
        ));
    }
}

/// Runs `scenario` with all interleavings of at most `threads` threads with at most `preemptions`
/// preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says. Returns the latter. Counts them in
/// `count`, even if it fails.
fn explore(threads: usize, preemptions: usize, count: &Arc<AtomicU64>, scenario: fn()) -> usize {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.max_threads = threads;
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
fn holds(name: &str, threads: usize, preemptions: usize, scenario: fn()) {
    let count = Arc::default();
    let start = Instant::now();
    let preemptions = explore(threads, preemptions, &count, scenario);
    let count = count.load(Relaxed);
    say(&format!(
        "model {name}: holds in all {count} interleavings, threads <= {threads}, \
         preemptions <= {preemptions}, {:.1} s",
        start.elapsed().as_secs_f32(),
    ));
    TOTAL.held.fetch_add(1, Relaxed);
    TOTAL.interleavings.fetch_add(count, Relaxed);
    TOTAL.threads.fetch_max(threads, Relaxed);
    TOTAL.preemptions.fetch_max(preemptions, Relaxed);
    TOTAL.passed();
}

/// With these mistakes the scenario must fail, saying `how`.
///
/// In a process of its own: a failure leaves threads behind in the middle of what they do, and
/// their values cannot be dropped in an orderly way.
fn refuted(test: &str, made: &[&str], how: &str, scenario: fn()) {
    if env::var_os(REFUTE).is_some() {
        mistakes::make(made);
        let count = Arc::new(AtomicU64::new(0));
        std::panic::set_hook(Box::new({
            let count = count.clone();
            move |info| {
                if !mistakes::all_reached() {
                    say(UNREACHED);
                }
                say(&format!("failed in #{}: {info}", count.load(Relaxed)))
            }
        }));
        // With as few preemptions as it takes, which is found soonest.
        for preemptions in 0..=TO_REFUTE {
            say(&format!("preemptions <= {preemptions}"));
            explore(THREADS, preemptions, &count, scenario);
        }
        return;
    }
    let output = Command::new(env::current_exe().expect("this is a program"))
        .args(["--exact", &format!("tests::{test}"), "--nocapture"])
        .env(REFUTE, "1")
        .output()
        .expect("this program can be run");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains(how) && !text.contains(UNREACHED),
        "{test} was not refuted by {how:?}:\n{text}"
    );
    let found = text.split("failed in #").nth(1).unwrap_or("?");
    let found = found.split(':').next().unwrap_or("?");
    let tries = text.matches("preemptions <= ").count();
    say(&format!(
        "model {test}: refuted ({how}) by interleaving {found}, preemptions <= {}",
        tries.saturating_sub(1)
    ));
    TOTAL.refuted.fetch_add(1, Relaxed);
    TOTAL.passed();
}

macro_rules! hold {
    ($($test:ident: $threads:literal, $preemptions:literal, $scenario:expr;)*) => {
        const HOLD: &[&str] = &[$(stringify!($test)),*];

        $(#[test]
        fn $test() {
            holds(stringify!($test), $threads, $preemptions, || $scenario);
        })*
    };
}

// Threads and preemptions.
hold! {
    calls_and_stop: 4, 2, scenarios::calls_and_stop();
    calls_are_served: 3, 2, scenarios::calls_are_served(false);
    calls_are_served_while_paused: 3, 2, scenarios::calls_are_served(true);
    repeats_and_stop: 3, 2, scenarios::repeats_and_stop();
    walk_and_stop: 3, 2, scenarios::walk_and_stop();
    walk_after_walk: 2, 2, scenarios::walk_after_walk(false);
    walk_after_walk_while_paused: 2, 2, scenarios::walk_after_walk(true);
    two_walks: 3, 2, scenarios::two_walks();
    walk_and_pause: 3, 2, scenarios::walk_and_pause();
    walk_after_pause: 2, 3, scenarios::walk_after_pause();
    signals: 3, 2, scenarios::signals();
    given_up_calls: 3, 2, scenarios::given_up_calls();
    call_and_restart: 4, 2, scenarios::call_and_restart();
    walk_and_restart: 4, 1, scenarios::walk_and_restart();
    stop_and_restart: 4, 2, scenarios::stop_and_restart();

    two_starts: 3, 3, handles::two_starts();
    start_and_stop: 3, 3, handles::start_and_stop(false);
    start_and_stop_again: 4, 2, handles::start_and_stop(true);
    two_stops: 3, 3, handles::two_stops();
    stops_and_restart: 4, 2, handles::stops_and_restart();
    kdamond_called_and_restarted: 4, 1, handles::call_and_restart();
    kdamond_walked_and_restarted: 4, 1, handles::walk_and_restart();
    kdamond_repeats_and_restarts: 4, 2, handles::repeat_and_restart();
    ends_by_itself: 3, 2, handles::ends_by_itself();
    restarted_at_its_end: 3, 3, handles::restarted_at_its_end();
    ends_and_restart: 4, 3, handles::ends_and_restart();
    start_fails_without_thread: 4, 2, handles::start_fails(true);
    start_fails_without_context: 4, 2, handles::start_fails(false);
    unload_with_users: 4, 1, handles::unload_with_users();
    dropped_by_the_last_user: 3, 3, handles::dropped_by_the_last_user();
    dropped_while_asked: 3, 2, handles::dropped_while_asked();
    numbers: 3, 2, handles::numbers();
    number_is_free: 3, 3, handles::number_is_free();
    walk_is_abandoned: 3, 2, handles::walk_is_abandoned();
}

macro_rules! refute {
    ($($test:ident: $how:literal, $scenario:expr;)*) => {
        /// The mistakes that are made. Each is refuted by itself, in the test of its name.
        pub(crate) const MISTAKES: &[&str] = &[$(stringify!($test)),*];

        $(#[test]
        fn $test() {
            refuted(stringify!($test), &[stringify!($test)], $how, || $scenario);
        })*
    };
}

refute! {
    ended_before_room_is_made: "the second walk", scenarios::walk_after_walk(false);
    any_walk_thrown_out: "ended by another", scenarios::two_walks();
    dropped_in_silence: "deadlock", scenarios::calls_and_stop();
    registered_after_the_check: "deadlock", scenarios::calls_and_stop();
    rung_before_registered: "deadlock", scenarios::calls_are_served(false);
    answered_after_the_look: "deadlock", scenarios::calls_are_served(false);
    end_not_reported: "deadlock", scenarios::calls_and_stop();
    forgotten_at_the_end: "deadlock", scenarios::calls_and_stop();
    stop_waits_for_any_run: "deadlock", scenarios::stop_and_restart();
    ended_twice: "cancelled, but served", scenarios::calls_are_served(false);
    walk_left_in_a_pause: "deadlock", scenarios::walk_after_walk(true);
    repeat_kept: "not dropped once", scenarios::repeats_and_stop();
    served_though_taken_back: "taken back, but served", scenarios::given_up_calls();
    given_up_while_served: "taken back, but served", scenarios::given_up_calls();

    abandoned_in_silence: "deadlock", handles::walk_is_abandoned();
    abandoned_before_the_look: "deadlock", handles::walk_is_abandoned();
    opened_twice: "deadlock", handles::two_starts();
    started_unannounced: "stopped, but still there", handles::start_and_stop(false);
    restarted_without_waiting: "the earlier one is there", handles::restarted_at_its_end();
    failed_start_kept: "deadlock", handles::start_fails(true);
    left_open: "deadlock", handles::start_fails(false);
    stopped_without_waiting: "stopped, but still there", handles::two_stops();
    left_to_the_other: "stopped, but still there", handles::two_stops();
    ended_without_waiting: "stopped, but still there", handles::ends_by_itself();
    any_thread_waited_for: "deadlock", handles::stops_and_restart();
    dropped_without_stop: "deadlock", handles::dropped_while_asked();
    dropped_without_waiting: "runs on in a module that is gone", handles::dropped_while_asked();
    number_free_too_early: "has another's number", handles::number_is_free();
    not_counted: "the first one is still there", handles::numbers();
}

macro_rules! refute_together {
    ($($test:ident [$($mistake:ident),*]: $how:literal, $scenario:expr;)*) => {
        const TOGETHER: &[&str] = &[$(stringify!($test)),*];

        $(#[test]
        fn $test() {
            refuted(stringify!($test), &[$(stringify!($mistake)),*], $how, || $scenario);
        })*
    };
}

// The discussion that led to this model: its slot, and the same race with the kdamond's files.
refute_together! {
    slot_of_the_discussion []: "deadlock", slot::restart();
    next_walk_thrown_out [ended_before_room_is_made, any_walk_thrown_out]:
        "the second walk", scenarios::walk_after_walk(false);
    next_walk_lost [ended_before_room_is_made, any_walk_thrown_out, dropped_in_silence]:
        "deadlock", scenarios::walk_after_walk(false);
}
