// SPDX-License-Identifier: GPL-2.0

//! Who starts, stops, asks and drops a kdamond, and what must hold in the end.
//!
//! A thread that was stopped, or whose owner is gone, has returned: what it would run after that is
//! not there any more once the module is unloaded.

use super::{
    handle::Kdamond,
    registry::Registry,
    requests::Requests,
    scenarios::{
        call,
        join,
        walk,
        Ask, //
    },
    thread::wakeup, //
};
use crate::{
    engine::{
        Tried,
        Walker, //
    },
    primitives::{
        signal,
        Arc,
        Condvar,
        Mutex, //
    },
    thread::{
        fail_next,
        made,
        reset,
        Thread, //
    },
    world::{
        params,
        Context,
        Fate,
        Wanted,
        Witness,
        WORKING, //
    },
};
use kernel::prelude::*;
use loom::thread;

impl Ask for Kdamond {
    const REFUSALS: &'static [Error] = &[ECANCELED, EINVAL];

    fn ask<F: FnOnce(&mut Context) -> u32 + Send + 'static>(&self, f: F) -> Result<u32> {
        self.call(f)
    }

    fn ask_walk(&self, witness: Witness) -> Result<Witness> {
        let walk = self.begin_walk(witness)?;
        // Time for a tick from now on.
        let _ = self.call(|_| wakeup::wind(2));
        walk.wait()
    }
}

impl Ask for Requests {
    const REFUSALS: &'static [Error] = &[ECANCELED];

    fn ask<F: FnOnce(&mut Context) -> u32 + Send + 'static>(&self, f: F) -> Result<u32> {
        self.call(f)
    }

    fn ask_walk(&self, _: Witness) -> Result<Witness> {
        Err(EINVAL)
    }
}

/// A target that is gone after some looks at it.
const fn mortal(looks: u32) -> Wanted {
    Wanted { looks, ..WORKING }
}

/// A kdamond that was never started.
fn new() -> (Arc<Registry>, Arc<Kdamond>) {
    reset();
    let registry = Registry::new().expect("memory");
    let kdamond = Kdamond::new(&registry).expect("memory");
    (registry, kdamond)
}

/// A kdamond that was started.
fn started(wanted: Wanted) -> (Arc<Registry>, Arc<Kdamond>) {
    let (registry, kdamond) = new();
    assert!(start(&kdamond, wanted) == Ok(()));
    (registry, kdamond)
}

fn start(kdamond: &Kdamond, wanted: Wanted) -> Result {
    kdamond.start(params(wanted)?)
}

/// Stops, and checks that no thread runs on that was there before.
fn stop(kdamond: &Kdamond) -> Result {
    let before = made();
    let result = kdamond.stop();
    if result != Err(EINVAL) {
        assert!(returned(&before), "stopped, but still there");
    }
    result
}

fn returned(threads: &[Thread]) -> bool {
    threads.iter().all(Thread::has_returned)
}

/// Runs `f` in a thread of its own, which uses the kdamond too.
fn user<T: 'static>(
    kdamond: &Arc<Kdamond>,
    f: impl FnOnce(&Kdamond) -> T + 'static,
) -> thread::JoinHandle<T> {
    let kdamond = kdamond.clone();
    thread::spawn(move || f(&kdamond))
}

/// Drops the last reference to the kdamond. The module may go.
fn unload(registry: &Registry, kdamond: Arc<Kdamond>) {
    drop(kdamond);
    gone(registry);
}

fn gone(registry: &Registry) {
    assert!(returned(&made()), "runs on in a module that is gone");
    assert!(registry.all().expect("memory").is_empty());
    reset();
}

/// Of two who start it one does.
pub(crate) fn two_starts() {
    let (registry, kdamond) = new();
    let other = user(&kdamond, |kdamond| start(kdamond, WORKING));
    let mut results = [start(&kdamond, WORKING), join(other)];
    results.sort_by_key(Result::is_err);
    assert!(results == [Ok(()), Err(EBUSY)], "two starts: {results:?}");
    assert!(kdamond.is_running() && made().len() == 1);
    unload(&registry, kdamond);
}

/// Somebody stops it while it is being started, for the first or the second time.
pub(crate) fn start_and_stop(again: bool) {
    let (registry, kdamond) = new();
    if again {
        assert!(start(&kdamond, WORKING) == Ok(()));
        assert!(stop(&kdamond) == Ok(()));
    }
    let other = user(&kdamond, |kdamond| start(kdamond, WORKING));
    let result = stop(&kdamond);
    if result == Ok(()) {
        assert!(returned(&made()), "stopped, but still there");
    }
    assert!(join(other) == Ok(()));
    assert!(kdamond.is_running() == result.is_err());
    let too_early = if again { EPERM } else { EINVAL };
    assert!(result == Ok(()) || result == Err(too_early));
    unload(&registry, kdamond);
}

/// Two who stop it.
pub(crate) fn two_stops() {
    let (registry, kdamond) = started(WORKING);
    let other = user(&kdamond, stop);
    let results = [stop(&kdamond), join(other)];
    assert!(results.contains(&Ok(())));
    assert!(results
        .iter()
        .all(|result| matches!(result, Ok(()) | Err(EPERM))));
    unload(&registry, kdamond);
}

/// Two who stop it, one of which starts it again at once.
pub(crate) fn stops_and_restart() {
    let (registry, kdamond) = started(WORKING);
    let other = user(&kdamond, stop);
    let result = stop(&kdamond);
    assert!(result == Ok(()) || result == Err(EPERM));
    assert!(
        start(&kdamond, WORKING) == Ok(()),
        "there is no other start"
    );
    // Does not wait for a run that it did not ask to stop.
    let result = join(other);
    assert!(result == Ok(()) || result == Err(EPERM));
    unload(&registry, kdamond);
}

/// Somebody has called, while it is stopped and started again.
pub(crate) fn call_and_restart() {
    let (registry, kdamond) = started(WORKING);
    let caller = user(&kdamond, |kdamond| {
        let _ = call(kdamond, 1);
        let _ = call(kdamond, 2);
    });
    assert!(stop(&kdamond) == Ok(()));
    assert!(start(&kdamond, WORKING) == Ok(()));
    join(caller);
    assert!(call(&*kdamond, 3) == Ok(()));
    unload(&registry, kdamond);
}

/// As in the discussion that led to this model: walks, one after the other, of a context that is
/// stopped and started again meanwhile.
pub(crate) fn walk_and_restart() {
    let (registry, kdamond) = started(WORKING);
    let caller = user(&kdamond, |kdamond| {
        for number in 1..3 {
            let result = walk(kdamond, number);
            assert!(result == Ok(()) || result == Err(ECANCELED));
        }
    });
    assert!(stop(&kdamond) == Ok(()));
    assert!(start(&kdamond, WORKING) == Ok(()));
    join(caller);
    assert!(
        walk(&*kdamond, 3) == Ok(()),
        "ended by an earlier one's end"
    );
    unload(&registry, kdamond);
}

/// Its target is gone, while it is called, stopped and started again.
pub(crate) fn ends_by_itself() {
    // After the first request.
    let (registry, kdamond) = started(mortal(2));
    let caller = user(&kdamond, |kdamond| {
        let _ = call(kdamond, 1);
    });
    let result = stop(&kdamond);
    assert!(result == Ok(()) || result == Err(EPERM));
    join(caller);
    assert!(stop(&kdamond) == Err(EPERM));
    assert!(call(&*kdamond, 2) == Err(ECANCELED));
    unload(&registry, kdamond);
}

/// It ends by itself at once, while somebody starts it again.
pub(crate) fn restarted_at_its_end() {
    let (registry, kdamond) = started(mortal(0));
    let first = made();
    let result = start(&kdamond, WORKING);
    if result == Ok(()) {
        assert!(returned(&first), "started, but the earlier one is there");
        assert!(call(&*kdamond, 1) == Ok(()));
    }
    assert!(result == Ok(()) || result == Err(EBUSY));
    unload(&registry, kdamond);
}

/// It ends by itself at once, while somebody stops it and somebody starts it again.
pub(crate) fn ends_and_restart() {
    let (registry, kdamond) = started(mortal(0));
    let other = user(&kdamond, stop);
    let first = made();
    if start(&kdamond, WORKING) == Ok(()) {
        assert!(returned(&first), "started, but the earlier one is there");
    }
    let result = join(other);
    assert!(result == Ok(()) || result == Err(EPERM));
    unload(&registry, kdamond);
}

/// A start that fails cancels what was asked of the run that there will not be, and leaves
/// everything as it was.
pub(crate) fn start_fails(valid: bool) {
    let (registry, kdamond) = new();
    let asked = registry.all().expect("memory").remove(0).expect("one").1;
    let caller = thread::spawn(move || {
        assert!(call(&asked, 1) == Err(ECANCELED), "nobody could serve it");
    });
    let other = user(&kdamond, stop);
    fail_next();
    let result = start(&kdamond, Wanted { valid, ..WORKING });
    assert!(result == Err(if valid { ENOMEM } else { EINVAL }));
    join(caller);
    let result = join(other);
    assert!(matches!(result, Ok(()) | Err(EINVAL | EPERM)));

    assert!(!kdamond.is_running() && made().is_empty());
    assert!(call(&*kdamond, 2) == Err(EINVAL), "it never was started");
    reset();
    assert!(start(&kdamond, WORKING) == Ok(()));
    assert!(call(&*kdamond, 3) == Ok(()));
    unload(&registry, kdamond);
}

/// The module is unloaded, while somebody calls and somebody walks: it is stopped, they return, it
/// is dropped.
pub(crate) fn unload_with_users() {
    let (registry, kdamond) = started(WORKING);
    let users = [
        user(&kdamond, |kdamond| {
            let _ = call(kdamond, 1);
        }),
        user(&kdamond, |kdamond| {
            let _ = walk(kdamond, 2);
        }),
    ];
    assert!(stop(&kdamond) == Ok(()));
    assert!(call(&*kdamond, 3) == Err(ECANCELED));
    users.into_iter().for_each(join);
    unload(&registry, kdamond);
}

/// It is dropped by who happens to be its last user.
pub(crate) fn dropped_by_the_last_user() {
    let (registry, kdamond) = started(WORKING);
    let caller = user(&kdamond, |kdamond| {
        assert!(call(kdamond, 1) == Ok(()), "nobody has stopped it");
    });
    drop(kdamond);
    join(caller);
    gone(&registry);
}

/// It is dropped while somebody asks it who does not keep it alive.
pub(crate) fn dropped_while_asked() {
    let (registry, kdamond) = started(WORKING);
    let asked = registry.all().expect("memory").remove(0).expect("one").1;
    let caller = thread::spawn(move || {
        let first = call(&asked, 1);
        let second = call(&asked, 2);
        assert!(first == Ok(()) || second == Err(ECANCELED));
    });
    unload(&registry, kdamond);
    join(caller);
}

/// A repeating call is dropped once, and that is done when its kdamond is.
pub(crate) fn repeat_and_restart() {
    let (registry, kdamond) = started(WORKING);
    let fate = Fate::default();
    let caller = user(&kdamond, {
        let request = fate.request();
        |kdamond| kdamond.call_repeatedly(move |_| request.serve())
    });
    assert!(stop(&kdamond) == Ok(()));
    assert!(start(&kdamond, WORKING) == Ok(()));
    let result = join(caller);
    assert!(result == Ok(()) || result == Err(ECANCELED));
    if result.is_err() {
        assert!(fate.times_dropped() == 1, "refused, but still somewhere");
    }
    unload(&registry, kdamond);
    assert!(fate.times_dropped() == 1, "not dropped once");
}

/// The threads are numbered by how many there are.
pub(crate) fn numbers() {
    let (registry, first) = started(WORKING);
    let second = Kdamond::new(&registry).expect("memory");
    assert!(start(&second, WORKING) == Ok(()));
    assert!(first.pid() == Some(0));
    assert!(second.pid() == Some(1), "the first one is still there");
    drop(first);
    assert!(second.pid() == Some(1));
    unload(&registry, second);
}

/// A kdamond's number is free when nothing of it is left.
pub(crate) fn number_is_free() {
    let (registry, first) = started(WORKING);
    let before = made();
    let other = thread::spawn(move || drop(first));
    let second = Kdamond::new(&registry).expect("memory");
    let all = registry.all().expect("memory");
    if all.len() == 1 && all.iter().any(|(number, _)| *number == 0) {
        assert!(returned(&before), "has another's number");
    }
    drop(all);
    join(other);
    unload(&registry, second);
}

/// Tells when it is dropped.
struct Told(Arc<(Mutex<bool>, Condvar)>);

impl Walker for Told {
    fn visit(&mut self, _: &Tried<'_>) {}
}

impl Drop for Told {
    fn drop(&mut self) {
        *self.0 .0.lock().expect("no thread has panicked") = true;
        self.0 .1.notify_all();
    }
}

/// A walk whose caller a signal has called away does not stay.
pub(crate) fn walk_is_abandoned() {
    let (registry, kdamond) = started(WORKING);
    let told = Arc::new((Mutex::new(false), Condvar::new()), GFP_KERNEL).expect("memory");
    let caller = user(&kdamond, {
        let told = told.clone();
        |kdamond| {
            signal();
            kdamond.walk(Told(told)).map(drop)
        }
    });
    // Nobody else wakes the kdamond, and it has no time for a tick.
    let mut dropped = told.0.lock().expect("no thread has panicked");
    while !*dropped {
        dropped = told.1.wait(dropped).expect("no thread has panicked");
    }
    drop(dropped);
    assert!(join(caller) == Err(EINTR));
    assert!(walk(&*kdamond, 1) == Ok(()), "there is no other walk");
    unload(&registry, kdamond);
}
