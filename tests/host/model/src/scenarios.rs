// SPDX-License-Identifier: GPL-2.0

//! Who does what with a mailbox and the loop behind it, and what must hold in the end.

use super::{
    mailbox::{
        Inbox,
        Mailbox, //
    },
    run,
    thread::wakeup,
    walk, //
};
use crate::{
    primitives::signal,
    world::{
        params,
        Context,
        Fate,
        KernelMetrics,
        TraceEvents,
        Wanted,
        Witness,
        WORKING, //
    },
};
use kernel::prelude::*;
use loom::thread::{
    self,
    JoinHandle, //
};
use std::{
    env,
    sync::LazyLock, //
};

pub(crate) type Callers = Mailbox<Context>;

/// Whom something can be asked of.
pub(crate) trait Ask {
    /// What it may refuse a request with.
    const REFUSALS: &'static [Error];

    /// Runs `f`, waits for the answer.
    fn ask<F: FnOnce(&mut Context) -> u32 + Send + 'static>(&self, f: F) -> Result<u32>;

    /// Walks `witness`, waits for its end. The kdamond is given time for that.
    fn ask_walk(&self, witness: Witness) -> Result<Witness>;
}

impl Ask for Callers {
    const REFUSALS: &'static [Error] = &[ECANCELED];

    fn ask<F: FnOnce(&mut Context) -> u32 + Send + 'static>(&self, f: F) -> Result<u32> {
        self.call(f)
    }

    fn ask_walk(&self, witness: Witness) -> Result<Witness> {
        let (request, waiter) = walk::pair(witness)?;
        self.register_walk(request)?;
        // Time for a tick from now on.
        let _ = self.call(|_| wakeup::wind(2));
        waiter.wait().inspect_err(|_| self.wake())
    }
}

const PAUSED: Wanted = Wanted {
    pause: true,
    ..WORKING
};

/// Starts a kdamond on an opened mailbox.
fn start(inbox: Inbox<Context>, pause: bool) -> JoinHandle<()> {
    thread::spawn(move || {
        let params = params(Wanted { pause, ..WORKING }).expect("memory");
        let context = Context::new(params, 0).expect("parameters fit");
        run::Kdamond::new(context, inbox, TraceEvents, KernelMetrics).run();
    })
}

/// A mailbox, and the kdamond behind it.
fn running(pause: bool) -> (Callers, JoinHandle<()>) {
    let mailbox = Callers::new().expect("memory");
    let inbox = mailbox.open().expect("nobody else has opened it");
    (mailbox, start(inbox, pause))
}

/// Has the rest of a scenario run in one order only after each order of what was before.
///
/// For what another scenario walks through in all orders. Not if `LOOM_EXPLORE_ALL` is set.
fn known() {
    static EXPLORE_ALL: LazyLock<bool> =
        LazyLock::new(|| env::var_os("LOOM_EXPLORE_ALL").is_some());
    if !*EXPLORE_ALL {
        loom::stop_exploring();
    }
}

pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no thread panics")
}

/// Calls, and checks that what the caller hears is what became of the request.
pub(crate) fn call<A: Ask>(whom: &A, number: u32) -> Result {
    let fate = Fate::default();
    let request = fate.request();
    let result = whom.ask(move |_| {
        request.serve();
        number
    });
    match result {
        Ok(answer) => {
            assert!(answer == number, "the answer to another's call");
            assert!(fate.times_served() == 1, "done, but not once");
        }
        Err(EINTR) => {
            assert!(fate.times_served() == 0, "taken back, but served");
            return Err(EINTR);
        }
        Err(error) => {
            assert!(A::REFUSALS.contains(&error), "a call fails with {error:?}");
            assert!(fate.times_served() == 0, "cancelled, but served");
        }
    }
    assert!(fate.times_dropped() == 1, "ended, but still somewhere");
    result.map(drop)
}

/// Walks, and checks that what the caller hears is what became of the request.
pub(crate) fn walk<A: Ask>(whom: &A, number: u32) -> Result {
    let fate = Fate::default();
    let witness = Witness {
        number,
        seen: 0,
        request: fate.request(),
    };
    let result = whom.ask_walk(witness).map(|witness| {
        assert!(witness.number == number, "the answer to another's walk");
        assert!(witness.seen == 3, "not all regions of one interval");
    });
    if result != Err(EINTR) {
        assert!(fate.times_dropped() == 1, "ended, but still somewhere");
    }
    result
}

/// Nobody gets anything of a kdamond that has ended.
fn ended(mailbox: &Callers) {
    assert!(!mailbox.is_running());
    assert!(mailbox.stop().1 == Err(EPERM));
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
    assert!(mailbox.stop().1 == Ok(()));
    assert!(call(&mailbox, 3) == Err(ECANCELED));
    for caller in callers {
        let _ = join(caller);
    }
    join(kdamond);
    ended(&mailbox);
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
    assert!(mailbox.stop().1 == Ok(()));
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
                    let _ = mailbox.call(|_| wakeup::wind(2));
                }
                Err(error) => {
                    assert!(error == ECANCELED);
                    assert!(fate.times_dropped() == 1, "refused, but still somewhere");
                }
            }
        }
    });
    assert!(mailbox.stop().1 == Ok(()));
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
    assert!(mailbox.stop().1 == Ok(()));
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
    assert!(mailbox.stop().1 == Ok(()));
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
    assert!(mailbox.stop().1 == Ok(()));
    join(kdamond);
}

/// Pauses a kdamond that works.
fn pause(mailbox: &Callers) {
    let paused = mailbox.call(|context| context.commit(params(PAUSED)?).map(drop));
    assert!(paused == Ok(Ok(())));
}

/// A walk, while the kdamond is paused.
pub(crate) fn walk_and_pause() {
    let (mailbox, kdamond) = running(false);
    let caller = thread::spawn({
        let mailbox = mailbox.clone();
        move || walk(&mailbox, 1)
    });
    pause(&mailbox);
    let result = join(caller);
    assert!(result == Ok(()) || result == Err(ECANCELED));
    // From here on it is the same as in `walk_after_pause`.
    known();
    assert!(walk(&mailbox, 2) == Err(ECANCELED), "walked while paused");
    assert!(mailbox.stop().1 == Ok(()));
    join(kdamond);
}

/// A walk of a kdamond that was paused before.
pub(crate) fn walk_after_pause() {
    let (mailbox, kdamond) = running(false);
    pause(&mailbox);
    assert!(walk(&mailbox, 1) == Err(ECANCELED), "walked while paused");
    assert!(mailbox.stop().1 == Ok(()));
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
    assert!(mailbox.stop().1 == Ok(()));
    join(kdamond);
}

/// A caller that is being killed knows what has become of its call: it was taken back before it was
/// served, or it was served.
pub(crate) fn given_up_calls() {
    let (mailbox, kdamond) = running(false);
    let fate = Fate::default();
    let caller = thread::spawn({
        let (mailbox, request) = (mailbox.clone(), fate.request());
        move || {
            signal();
            mailbox.call(move |_| request.serve())
        }
    });
    assert!(call(&mailbox, 1) == Ok(()));
    let result = join(caller);
    assert!(mailbox.stop().1 == Ok(()));
    join(kdamond);
    assert!(fate.times_dropped() == 1, "ended, but still somewhere");
    match result {
        Ok(()) => assert!(fate.times_served() == 1, "not served once"),
        Err(error) => {
            assert!(error == EINTR);
            assert!(fate.times_served() == 0, "taken back, but served");
        }
    }
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
    assert!(mailbox.stop().1 == Ok(()));
    let inbox = mailbox.open().expect("it was stopped");
    // As `Kdamond::start()` does: the earlier thread only has to return.
    join(first);
    let second = start(inbox, false);
    join(caller);
    assert!(mailbox.stop().1 == Ok(()));
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
    assert!(mailbox.stop().1 == Ok(()));
    let inbox = mailbox.open().expect("it was stopped");
    join(first);
    let second = start(inbox, false);
    join(caller);
    assert!(walk(&mailbox, 3) == Ok(()), "ended by an earlier one's end");
    assert!(mailbox.stop().1 == Ok(()));
    join(second);
}

/// Two who stop a kdamond, one of which starts it again at once.
pub(crate) fn stop_and_restart() {
    let (mailbox, first) = running(false);
    let other = thread::spawn({
        let mailbox = mailbox.clone();
        move || mailbox.stop().1
    });
    let (_, result) = mailbox.stop();
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
