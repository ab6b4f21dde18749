// SPDX-License-Identifier: GPL-2.0

//! The kdamond's loop on a clock that the tests move: what happens when, and what does not.

mod tuning;
mod watermarks;
mod windows;

use crate::{
    engine::{
        AccessPattern,
        Action,
        AddrRange,
        Attempt,
        Attrs,
        AttrsParams,
        Context,
        Events,
        IntervalsGoal,
        Micros,
        Operations,
        Params,
        Pass,
        Probes,
        Region,
        SchemeParams,
        TargetParams,
        Tried,
        Walker,
        WatermarkMetric,
        Watermarks, //
    },
    kdamond::{
        mailbox::Mailbox,
        run,
        walk::Walk, //
    },
    metrics::FakeMetrics,
    thread::wakeup::Wakeup,
};
use kernel::prelude::*;
use std::{
    sync::{
        Arc,
        Mutex, //
    },
    thread,
};

/// What the memory and the listeners saw, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(bool, Vec<&'static str>)>>);

impl Log {
    fn note(&self, what: &'static str) {
        self.0.lock().expect("locked").1.push(what);
    }

    /// What was noted since the last time.
    fn take(&self) -> Vec<&'static str> {
        core::mem::take(&mut self.0.lock().expect("locked").1)
    }

    /// The memory ceases to exist.
    fn exit(&self) {
        self.0.lock().expect("locked").0 = true;
    }
}

/// A memory that is accessed all the time, and whether schemes look at it.
struct Busy(Log, bool);

impl Operations for Busy {
    type Space = ();

    fn min_region_sz(&self) -> u64 {
        1
    }

    fn ranges(&mut self, (): &()) -> Result<Option<KVec<AddrRange>>> {
        self.0.note("update");
        Ok(None)
    }

    fn memory(&self, (): &()) -> Option<usize> {
        Some(0)
    }

    fn sample(&mut self, (): &(), regions: &mut [Region], pass: &mut Pass<'_>) {
        self.0.note(match (pass.checks(), pass.prepares()) {
            (true, true) => "check and prepare",
            (true, false) => "check",
            _ => "prepare",
        });
        for region in regions {
            if pass.checks() {
                pass.record(region, true);
            }
            if pass.prepares() {
                pass.pick(region);
            }
        }
    }

    fn is_valid(&self, (): &()) -> bool {
        !self.0 .0.lock().expect("locked").0
    }

    fn same_space(&self, (): &(), _: &Self, (): &()) -> bool {
        true
    }

    fn acts(&self, _: &SchemeParams) -> bool {
        self.1
    }

    fn apply(&mut self, (): &(), _: &Region, _: Attempt<'_>) -> crate::engine::Applied {
        self.0.note("apply");
        crate::engine::Applied::default()
    }
}

impl Events for Log {
    fn aggregated_enabled(&self) -> bool {
        true
    }

    fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {
        self.note("aggregated");
    }

    fn tuned(&mut self, _: Micros) {
        self.note("tuned");
    }
}

/// A walk that says what becomes of it.
struct Watched(Log, bool);

impl Walker for Log {
    fn visit(&mut self, _: &Tried<'_>) {
        self.note("visit");
    }
}

impl Walk for Watched {
    fn visitor(&mut self) -> Option<&mut (dyn Walker + 'static)> {
        Some(&mut self.0)
    }

    fn finish(&mut self) {
        self.1 = true;
        self.0.note("walked");
    }

    fn is_abandoned(&self) -> bool {
        false
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.1 {
            self.0.note("walk cancelled");
        }
    }
}

/// What can be set.
#[derive(Clone, Copy)]
struct Wanted {
    pause: bool,
    looks: bool,
    end: u64,
    sample: u64,
    goal: IntervalsGoal,
    marks: Watermarks,
}

const WANTED: Wanted = Wanted {
    pause: false,
    looks: true,
    end: 3,
    sample: 10,
    goal: IntervalsGoal {
        access_bp: 0,
        aggrs: 0,
        min_sample_us: Micros(0),
        max_sample_us: Micros(0),
    },
    marks: Watermarks {
        metric: WatermarkMetric::None,
        interval: Micros(0),
        high: 0,
        mid: 0,
        low: 0,
    },
};

fn params(log: &Log, wanted: Wanted) -> Result<Params<Busy>> {
    let mut regions = KVec::new();
    let range = AddrRange {
        start: 0,
        end: wanted.end,
    };
    regions.push(range, GFP_KERNEL)?;
    let mut targets = KVec::new();
    let target = TargetParams {
        space: (),
        obsolete: false,
        regions,
    };
    targets.push(target, GFP_KERNEL)?;
    let mut schemes = KVec::new();
    let scheme = SchemeParams {
        watermarks: wanted.marks,
        ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
    };
    schemes.push(scheme, GFP_KERNEL)?;
    Ok(Params {
        ops: Busy(log.clone(), wanted.looks),
        attrs: Attrs::try_from(AttrsParams {
            sample: Micros(wanted.sample),
            aggr: Micros(40),
            ops_update: Micros(40),
            goal: wanted.goal,
            min_nr_regions: 3,
            max_nr_regions: 3,
            ..AttrsParams::default()
        })?,
        probes: Probes::default(),
        pause: wanted.pause,
        targets,
        schemes,
    })
}

/// A running kdamond.
struct World {
    mailbox: Mailbox<Context<Busy>>,
    wakeup: Wakeup,
    log: Log,
    metrics: FakeMetrics,
    kdamond: Option<thread::JoinHandle<()>>,
}

impl World {
    fn new(wanted: Wanted) -> Result<Self> {
        let (mailbox, log) = (Mailbox::new()?, Log::default());
        let metrics = FakeMetrics::default();
        let inbox = mailbox.open()?;
        let wakeup = inbox.wakeup().clone();
        let context = Context::new(params(&log, wanted)?, 0)?;
        let kdamond = thread::spawn({
            let (wakeup, log, metrics) = (wakeup.clone(), log.clone(), metrics.clone());
            move || {
                run::Kdamond::new(context, inbox, log, metrics).run();
                wakeup.end();
            }
        });
        let world = Self {
            mailbox,
            wakeup,
            log,
            metrics,
            kdamond: Some(kdamond),
        };
        let _ = world.wakeup.settled();
        Ok(world)
    }

    fn commit(&self, wanted: Wanted) -> Result {
        let params = params(&self.log, wanted)?;
        self.mailbox
            .call(|context| context.commit(params).map(drop))??;
        let _ = self.wakeup.settled();
        Ok(())
    }

    fn walk(&self) -> Result {
        let walk = Watched(self.log.clone(), false);
        self.mailbox.register_walk(KBox::new(walk, GFP_KERNEL)?)?;
        let _ = self.wakeup.settled();
        Ok(())
    }

    fn pass(&self, times: u32) {
        for _ in 0..times {
            self.wakeup.pass();
        }
    }

    /// All that was learned.
    fn picture(&self) -> Result<(u64, String)> {
        let picture = self.mailbox.call(|context| {
            let regions: Vec<_> = context.targets().iter().map(|t| t.regions()).collect();
            let stats: Vec<_> = context.schemes().iter().map(|s| s.stat()).collect();
            (context.passed(), format!("{regions:?} {stats:?}"))
        });
        let _ = self.wakeup.settled();
        picture
    }

    fn nr_accesses(&self) -> Result<Vec<u32>> {
        let counts = self.mailbox.call(|context| {
            let regions = context.targets().iter().flat_map(|t| t.regions());
            regions.map(Region::nr_accesses).collect()
        });
        let _ = self.wakeup.settled();
        counts
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.mailbox.stop();
        if let Some(kdamond) = self.kdamond.take() {
            let _ = kdamond.join();
        }
    }
}

/// Three regions each.
fn thrice(what: &'static str) -> [&'static str; 3] {
    [what; 3]
}

#[test]
fn a_tick_has_its_order() -> Result {
    let world = World::new(WANTED)?;
    assert_eq!(world.log.take(), ["prepare"]);
    let log = world.log.clone();
    world.mailbox.call_repeatedly(move |_| log.note("repeat"))?;
    world.walk()?;
    world.pass(3);
    assert_eq!(world.log.take(), ["check and prepare", "repeat"].repeat(3));
    world.pass(1);
    let mut expected = vec!["check", "repeat"];
    for _ in 0..3 {
        expected.extend(["apply", "visit"]);
    }
    expected.extend(thrice("aggregated"));
    expected.extend(["update", "prepare", "walked"]);
    assert_eq!(world.log.take(), expected);
    Ok(())
}

#[test]
fn samples_that_stay_are_prepared_with_the_check() -> Result {
    let sampled = |looks| -> Result<Vec<&'static str>> {
        let world = World::new(Wanted { looks, ..WANTED })?;
        // Nothing is known of what the first aggregation will do.
        world.pass(4);
        assert_eq!(world.log.take().last(), Some(&"prepare"));
        world.pass(4);
        let mut log = world.log.take();
        assert_eq!(log.iter().filter(|what| **what == "aggregated").count(), 3);
        log.retain(|what| what.starts_with("check") || *what == "prepare");
        Ok(log)
    };
    assert_eq!(sampled(false)?, ["check and prepare"; 4]);
    // What was just prepared would look untouched to a scheme.
    let mut apart = vec!["check and prepare"; 3];
    apart.extend(["check", "prepare"]);
    assert_eq!(sampled(true)?, apart);
    Ok(())
}

#[test]
fn a_pause_leaves_everything_as_it_is() -> Result {
    let world = World::new(WANTED)?;
    world.pass(10);
    world.walk()?;
    let before = world.picture()?;
    let _ = world.log.take();
    world.commit(Wanted {
        pause: true,
        ..WANTED
    })?;
    assert_eq!(world.log.take(), ["walk cancelled"]);
    assert_eq!(world.picture()?.0, before.0);
    let paused = world.picture()?;
    world.pass(100);
    world.walk()?;
    assert_eq!(world.log.take(), ["walk cancelled"]);
    assert_eq!(world.picture()?, paused);

    // Two of four samples of the window were taken before the pause.
    world.commit(WANTED)?;
    assert_eq!(world.log.take(), ["prepare"]);
    world.pass(1);
    assert_eq!(world.log.take(), ["check and prepare"]);
    world.pass(1);
    let log = world.log.take();
    assert_eq!(log[0], "check");
    assert!(log.ends_with(&["aggregated", "update", "prepare"]));
    assert_eq!(world.picture()?.0, before.0 + 2);
    let ages = world.mailbox.call(|context| {
        let regions = context.targets().iter().flat_map(|t| t.regions());
        regions.map(Region::age).collect::<Vec<_>>()
    })?;
    assert!(ages.iter().all(|&age| age >= 1), "{ages:?}");
    Ok(())
}

#[test]
fn a_paused_kdamond_looks_once_a_second() -> Result {
    let world = World::new(Wanted {
        pause: true,
        ..WANTED
    })?;
    assert_eq!(world.log.take(), [""; 0]);
    assert_eq!(world.wakeup.settled(), Some(1_000_000_000));
    world.pass(1);
    assert_eq!(world.wakeup.settled(), Some(2_000_000_000));
    world.log.exit();
    world.pass(1);
    assert_eq!(world.wakeup.settled(), None);
    assert!(world.picture().is_err_and(|error| error == ECANCELED));
    Ok(())
}

#[test]
fn repeating_calls_are_made_while_paused() -> Result {
    let world = World::new(Wanted {
        pause: true,
        ..WANTED
    })?;
    let log = world.log.clone();
    world.mailbox.call_repeatedly(move |_| log.note("repeat"))?;
    let _ = world.wakeup.settled();
    let _ = world.log.take();
    world.pass(2);
    assert_eq!(world.log.take(), ["repeat"; 2]);
    Ok(())
}

#[test]
fn a_paused_kdamond_stops() -> Result {
    let world = World::new(Wanted {
        pause: true,
        ..WANTED
    })?;
    world.mailbox.stop().1?;
    assert!(!world.mailbox.is_running());
    Ok(())
}

#[test]
fn a_commit_in_the_middle_of_a_sample_does_not_spoil_it() -> Result {
    let world = World::new(WANTED)?;
    world.pass(1);
    assert_eq!(world.nr_accesses()?, [1, 1, 1]);
    let until = world.wakeup.settled();
    // Nothing moves, and nothing is prepared anew.
    let _ = world.log.take();
    world.commit(WANTED)?;
    assert_eq!(world.log.take(), [""; 0]);
    assert_eq!(world.wakeup.settled(), until);
    world.pass(1);
    assert_eq!(world.nr_accesses()?, [2, 2, 2]);
    // The last one grows; nobody knows where in it the sample would have been.
    world.commit(Wanted { end: 4, ..WANTED })?;
    world.pass(1);
    assert_eq!(world.nr_accesses()?[..2], [3, 3]);
    Ok(())
}

#[test]
fn who_rings_again_and_again_does_not_put_samples_off() -> Result {
    let world = World::new(WANTED)?;
    let _ = world.log.take();
    world.wakeup.pester(1000);
    let _ = world.wakeup.settled();
    let log = world.log.take();
    let samples = log.iter().filter(|what| what.starts_with("check"));
    // One in ten microseconds, and one more to notice.
    assert!(samples.count() >= 1000 / 11);
    Ok(())
}

#[test]
fn the_count_of_samples_may_come_to_its_end() -> Result {
    let world = World::new(WANTED)?;
    world
        .mailbox
        .call(|context| context.progress.passed = u64::MAX - 10)?;
    // Plans are made anew, from there on: two samples are an aggregation.
    world.commit(Wanted {
        sample: 20,
        ..WANTED
    })?;
    let _ = world.log.take();
    world.pass(9);
    let aggregated = |log: &[&str]| log.iter().filter(|what| **what == "aggregated").count();
    assert_eq!(aggregated(&world.log.take()), 3 * 4);
    // Nobody is to live that long. Who does has an aggregation in each sample.
    world.pass(30);
    assert!(aggregated(&world.log.take()) > 0);
    assert_eq!(world.picture()?.0, u64::MAX);
    world.walk()?;
    world.pass(1);
    assert!(world.log.take().contains(&"walked"));
    Ok(())
}
