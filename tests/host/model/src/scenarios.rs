// SPDX-License-Identifier: GPL-2.0

//! Who does what with a kdamond, and what must hold in the end.
//!
//! The kdamonds run the loop of the module on a small context of the engine.

use super::{
    bell,
    mailbox::{
        Inbox,
        Mailbox,
        Walk, //
    },
    reply::{
        self,
        Reply, //
    },
    run,
};
use crate::{
    engine::{
        self,
        AccessPattern,
        Action,
        AddrRange,
        Attrs,
        AttrsParams,
        Events,
        Micros,
        MinMax,
        Operations,
        Params,
        Pass,
        Region,
        SchemeParams,
        TargetParams,
        Tried,
        Walker, //
    },
    primitives::signal,
};
use kernel::prelude::*;
use loom::thread::{
    self,
    JoinHandle, //
};
use std::sync::{
    atomic::{
        AtomicU32,
        Ordering::Relaxed, //
    },
    Arc,
};

/// A memory in which nothing happens.
pub(crate) struct Quiet;

impl Operations for Quiet {
    type Space = ();

    fn min_region_sz(&self) -> u64 {
        1
    }

    fn ranges(&mut self, (): &()) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    fn sample(&mut self, (): &(), _: &mut [Region], _: &mut Pass<'_>) {}

    fn is_valid(&self, (): &()) -> bool {
        true
    }
}

/// Nobody listens.
struct Silence;

impl Events for Silence {
    fn aggregated_enabled(&self) -> bool {
        false
    }

    fn aggregated(&mut self, _: usize, _: usize, _: &Region, _: usize) {}
}

type Context = engine::Context<Quiet>;
type Callers = Mailbox<Context, dyn Walker>;

/// Three regions and one scheme for all of them, which is applied at every tick.
fn params(pause: bool) -> Result<Params<Quiet>> {
    let mut regions = KVec::new();
    regions.push(AddrRange { start: 0, end: 3 }, GFP_KERNEL)?;
    let mut targets = KVec::new();
    let target = TargetParams {
        space: (),
        obsolete: false,
        regions,
    };
    targets.push(target, GFP_KERNEL)?;
    let mut schemes = KVec::new();
    let scheme = SchemeParams {
        pattern: AccessPattern {
            sz: MinMax {
                min: 0,
                max: u64::MAX,
            },
            nr_accesses: MinMax {
                min: 0,
                max: u32::MAX,
            },
            age: MinMax {
                min: 0,
                max: u32::MAX,
            },
        },
        action: Action::Stat,
        apply_interval: Micros(0),
        max_nr_snapshots: 0,
    };
    schemes.push(scheme, GFP_KERNEL)?;
    Ok(Params {
        ops: Quiet,
        attrs: Attrs::try_from(AttrsParams {
            sample: Micros(1),
            aggr: Micros(1),
            min_nr_regions: 3,
            max_nr_regions: 3,
            ..AttrsParams::default()
        })?,
        pause,
        targets,
        schemes,
    })
}

/// Starts a kdamond on an opened mailbox.
fn start(inbox: Inbox<Context, dyn Walker>, pause: bool) -> JoinHandle<()> {
    thread::spawn(move || {
        let context = Context::new(params(pause).expect("memory"), 0).expect("parameters fit");
        run::Kdamond::new(context, inbox, Silence).run();
    })
}

/// A mailbox, and the kdamond behind it.
fn running(pause: bool) -> (Callers, JoinHandle<()>) {
    let mailbox = Callers::new().expect("memory");
    let inbox = mailbox.open().expect("nobody else has opened it");
    (mailbox, start(inbox, pause))
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no thread panics")
}

/// What became of a request.
#[derive(Clone, Default)]
struct Fate(Arc<(AtomicU32, AtomicU32)>);

impl Fate {
    fn times_served(&self) -> u32 {
        self.0 .0.load(Relaxed)
    }

    fn times_dropped(&self) -> u32 {
        self.0 .1.load(Relaxed)
    }

    fn request(&self) -> Request {
        Request(self.clone())
    }
}

/// What goes with a request, and is dropped with it.
struct Request(Fate);

impl Request {
    fn serve(&self) {
        self.0 .0 .0.fetch_add(1, Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0 .0 .1.fetch_add(1, Relaxed);
    }
}

/// Calls, and checks that what the caller hears is what became of the request.
fn call(mailbox: &Callers, number: u32) -> Result {
    let fate = Fate::default();
    let request = fate.request();
    let result = mailbox.call(move |_| {
        request.serve();
        number
    });
    match result {
        Ok(answer) => {
            assert!(answer == number, "the answer to another's call");
            assert!(fate.times_served() == 1, "done, but not once");
        }
        Err(EINTR) => {
            assert!(fate.times_served() <= 1, "served twice");
            return Err(EINTR);
        }
        Err(error) => {
            assert!(error == ECANCELED, "a call fails with {error:?}");
            assert!(fate.times_served() == 0, "cancelled, but served");
        }
    }
    assert!(fate.times_dropped() == 1, "ended, but still somewhere");
    result.map(drop)
}

/// Counts what it is shown.
struct Witness {
    number: u32,
    seen: u32,
    _request: Request,
}

impl Walker for Witness {
    fn visit(&mut self, _: &Tried<'_>) {
        self.seen += 1;
        self._request.serve();
    }
}

/// As in `src/kdamond.rs`.
struct WalkRequest {
    parts: Option<(Witness, Reply<Witness>)>,
}

impl Walk<dyn Walker> for WalkRequest {
    fn visitor(&mut self) -> Option<&mut (dyn Walker + 'static)> {
        self.parts
            .as_mut()
            .map(|(walker, _)| walker as &mut (dyn Walker + 'static))
    }

    fn finish(&mut self) {
        if let Some((walker, reply)) = self.parts.take() {
            reply.send(walker);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.parts
            .as_ref()
            .is_none_or(|(_, reply)| reply.is_abandoned())
    }
}

/// Walks, and checks that what the caller hears is what became of the request.
fn walk(mailbox: &Callers, number: u32) -> Result {
    let fate = Fate::default();
    let witness = Witness {
        number,
        seen: 0,
        _request: fate.request(),
    };
    let (reply, waiter) = reply::pair()?;
    let request: KBox<dyn Walk<dyn Walker>> = KBox::new(
        WalkRequest {
            parts: Some((witness, reply)),
        },
        GFP_KERNEL,
    )?;
    mailbox.register_walk(request)?;
    // Time for a tick from now on.
    let _ = mailbox.call(|_| bell::wind(2));
    let result = waiter.wait().map(|witness| {
        assert!(witness.number == number, "the answer to another's walk");
        assert!(witness.seen == 3, "not all regions of one interval");
    });
    match result {
        // As `Kdamond::walk()` does.
        Err(EINTR) => mailbox.wake(),
        _ => assert!(fate.times_dropped() == 1, "ended, but still somewhere"),
    }
    result
}

/// Nobody gets anything of a kdamond that has ended.
fn ended(mailbox: &Callers) {
    assert!(!mailbox.is_running());
    assert!(mailbox.stop() == Err(EPERM));
    assert!(call(mailbox, 99) == Err(ECANCELED));
    assert!(walk(mailbox, 99) == Err(ECANCELED));
    assert!(mailbox.call_repeatedly(|_| ()) == Err(ECANCELED));
}

/// Two callers, while the kdamond is stopped.
pub(crate) fn calls_and_stop() {
    let (mailbox, kdamond) = running(false);
    let callers: Vec<_> = (1..3)
        .map(|number| {
            let mailbox = mailbox.clone();
            thread::spawn(move || call(&mailbox, number))
        })
        .collect();
    assert!(mailbox.stop() == Ok(()));
    ended(&mailbox);
    for caller in callers {
        let _ = join(caller);
    }
    join(kdamond);
}

/// Two callers of a kdamond that nobody stops until they are served.
pub(crate) fn calls_are_served(pause: bool) {
    let (mailbox, kdamond) = running(pause);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || call(&mailbox, 1)
    });
    assert!(call(&mailbox, 2) == Ok(()));
    assert!(join(caller) == Ok(()));
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
}

/// A repeating call, while the kdamond is stopped.
pub(crate) fn repeats_and_stop() {
    let (mailbox, kdamond) = running(false);
    let fate = Fate::default();
    let caller = thread::spawn({
        let (mailbox, fate) = (mailbox.clone(), fate.clone());
        move || {
            let request = fate.request();
            let result = mailbox.call_repeatedly(move |_| request.serve());
            match result {
                Ok(()) => {
                    let _ = mailbox.call(|_| bell::wind(2));
                }
                Err(error) => {
                    assert!(error == ECANCELED);
                    assert!(fate.times_dropped() == 1, "refused, but still somewhere");
                }
            }
        }
    });
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
    join(caller);
    assert!(fate.times_dropped() == 1, "not dropped once");
}

/// A walk, while the kdamond is stopped.
pub(crate) fn walk_and_stop() {
    let (mailbox, kdamond) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || walk(&mailbox, 1)
    });
    assert!(mailbox.stop() == Ok(()));
    ended(&mailbox);
    let result = join(caller);
    assert!(result == Ok(()) || result == Err(ECANCELED));
    join(kdamond);
}

/// Who hears that a walk has ended can have the next one at once. One that comes while the kdamond
/// is paused is cancelled.
pub(crate) fn walk_after_walk(pause: bool) {
    let (mailbox, kdamond) = running(pause);
    let expected = if pause { Err(ECANCELED) } else { Ok(()) };
    assert!(walk(&mailbox, 1) == expected, "the first walk");
    assert!(walk(&mailbox, 2) == expected, "the second walk");
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
}

/// Of two walks at the same time one may be refused, but none is ended by the other.
pub(crate) fn two_walks() {
    let (mailbox, kdamond) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || walk(&mailbox, 1)
    });
    let mine = walk(&mailbox, 2);
    let theirs = join(caller);
    for result in [mine, theirs] {
        assert!(result == Ok(()) || result == Err(EBUSY), "ended by another");
    }
    assert!(mine == Ok(()) || theirs == Ok(()), "nobody was served");
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
}

/// A walk, while the kdamond is paused.
pub(crate) fn walk_and_pause() {
    let (mailbox, kdamond) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || walk(&mailbox, 1)
    });
    let paused = mailbox.call(|context| context.commit(params(true)?).map(drop));
    assert!(paused == Ok(Ok(())));
    let result = join(caller);
    assert!(result == Ok(()) || result == Err(ECANCELED));
    assert!(walk(&mailbox, 2) == Err(ECANCELED), "walked while paused");
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
}

/// Callers that a signal disturbs leave nothing behind that others trip over.
pub(crate) fn signals() {
    let (mailbox, kdamond) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || {
            signal();
            let result = walk(&mailbox, 1);
            assert!(matches!(result, Ok(()) | Err(EINTR | EBUSY)));
        }
    });
    let result = walk(&mailbox, 3);
    assert!(result == Ok(()) || result == Err(EBUSY));
    join(caller);
    assert!(mailbox.stop() == Ok(()));
    join(kdamond);
}

/// A caller, while the kdamond is stopped and the same mailbox serves another.
pub(crate) fn call_and_restart() {
    let (mailbox, first) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || {
            let _ = call(&mailbox, 1);
            let _ = call(&mailbox, 2);
        }
    });
    assert!(mailbox.stop() == Ok(()));
    let inbox = mailbox.open().expect("it was stopped");
    // As `Kdamond::start()` does: the earlier thread only has to return.
    join(first);
    let second = start(inbox, false);
    join(caller);
    assert!(mailbox.stop() == Ok(()));
    join(second);
    assert!(call(&mailbox, 3) == Err(ECANCELED));
}

/// The discussion that led to this model: walks, one after the other, of a context that is stopped
/// and started again meanwhile.
pub(crate) fn walk_and_restart() {
    let (mailbox, first) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || {
            for number in 1..3 {
                let result = walk(&mailbox, number);
                assert!(result == Ok(()) || result == Err(ECANCELED));
            }
        }
    });
    assert!(mailbox.stop() == Ok(()));
    let inbox = mailbox.open().expect("it was stopped");
    join(first);
    let second = start(inbox, false);
    join(caller);
    assert!(walk(&mailbox, 3) == Ok(()), "ended by an earlier one's end");
    assert!(mailbox.stop() == Ok(()));
    join(second);
}

/// Two who stop a kdamond, one of which starts it again at once.
pub(crate) fn stop_and_restart() {
    let (mailbox, first) = running(false);
    let other = thread::spawn({
        let mailbox = mailbox.clone();
        move || mailbox.stop()
    });
    let result = mailbox.stop();
    assert!(result == Ok(()) || result == Err(EPERM));
    let inbox = mailbox.open().expect("it was stopped");
    assert!(mailbox.open().is_err_and(|error| error == EBUSY));
    join(first);
    let second = start(inbox, true);
    // Does not wait for a run that it did not ask to stop.
    let result = join(other);
    assert!(result == Ok(()) || result == Err(EPERM));
    let _ = mailbox.stop();
    join(second);
    ended(&mailbox);
}
