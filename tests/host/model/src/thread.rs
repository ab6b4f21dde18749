// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread.rs`, which keeps account of who has returned.

pub(crate) mod wakeup;

use kernel::prelude::*;
use loom::{
    sync::atomic::{
        AtomicBool,
        Ordering::AcqRel, //
    },
    thread::{
        self,
        JoinHandle, //
    },
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    sync::Arc,
};

/// What lockdep is told, which is not part of the model.
pub(crate) mod waits {
    /// To be called before waiting for a kdamond.
    pub(crate) fn for_a_kdamond() {}
}

/// Signals. All are fatal.
pub(crate) mod signals {
    use crate::primitives::signal_pending;
    use kernel::prelude::*;

    /// The error with which the current thread has to end a wait now.
    pub(crate) fn end_wait() -> Option<Error> {
        signal_pending().then_some(EINTR)
    }

    /// Lets the others go on.
    pub(crate) fn pause() {
        loom::thread::yield_now();
    }
}

/// Whether a thread has done all it does.
type Returned = Arc<AtomicBool>;

// All threads of an interleaving are one thread of the host, one after the other.
thread_local! {
    static THREADS: RefCell<Vec<Returned>> = const { RefCell::new(Vec::new()) };
    static FAIL: Cell<u32> = const { Cell::new(0) };
}

/// Forgets the threads of earlier interleavings.
pub(crate) fn reset() {
    THREADS.take();
    FAIL.set(0);
}

/// Lets the next thread not be made.
pub(crate) fn fail_next() {
    FAIL.set(1);
}

/// The kernel threads that were made, oldest first.
pub(crate) fn made() -> Vec<Thread> {
    let threads = THREADS.with_borrow(Clone::clone);
    let thread = |returned| Thread {
        number: 0,
        returned,
        handle: None,
    };
    threads.into_iter().map(thread).collect()
}

/// A kernel thread. Dropping the one that was made waits until the thread's function has returned.
pub(crate) struct Thread {
    number: i32,
    returned: Returned,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Runs `body` in a new thread.
    pub(crate) fn spawn<F: FnOnce() + Send + 'static>(number: i32, body: F) -> Result<Self> {
        if FAIL.replace(0) > 0 {
            return Err(ENOMEM);
        }
        let returned = Returned::new(AtomicBool::new(false));
        THREADS.with_borrow_mut(|threads| threads.push(returned.clone()));
        let handle = thread::spawn({
            let returned = returned.clone();
            move || {
                body();
                // The last instructions of the module's code: returning.
                returned.fetch_or(true, AcqRel);
            }
        });
        Ok(Self {
            number,
            returned,
            handle: Some(handle),
        })
    }

    /// The number that it was given, for want of another.
    pub(crate) fn pid(&self) -> i32 {
        self.number
    }

    /// Whether no code of the module runs in it any more.
    pub(crate) fn has_returned(&self) -> bool {
        self.returned.fetch_or(false, AcqRel)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.join().expect("no thread panics");
        }
    }
}

/// A number that is the same in all interleavings.
pub(crate) fn random_seed() -> u64 {
    0
}
