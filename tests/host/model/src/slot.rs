// SPDX-License-Identifier: GPL-2.0

//! The slot for walks that `damos_walk()` of the C DAMON has, reduced to its locked sections, and
//! the race that a restart of a context makes of it: a request is registered to a context that
//! does not run, cancelled after a restart, unregistered by its caller, and the cancellation that
//! is still going on drops the next request of the same caller, who waits for ever.

use crate::primitives::{
    Arc,
    Condvar,
    Mutex, //
};
use kernel::prelude::*;
use loom::thread;

/// One request, and whether it has ended.
struct Request {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Request {
    fn complete(&self) {
        *self.ended.lock().expect("locked") = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut ended = self.ended.lock().expect("locked");
        while !*ended {
            ended = self.changed.wait(ended).expect("locked");
        }
    }
}

/// `struct damon_ctx`, as far as walks go.
struct Context {
    walk_control: Mutex<Option<Arc<Request>>>,
    running: Mutex<bool>,
}

impl Context {
    /// `damos_walk()`
    fn walk(&self) {
        let request = Arc::new(
            Request {
                ended: Mutex::new(false),
                changed: Condvar::new(),
            },
            GFP_KERNEL,
        )
        .expect("there is memory");
        let mut slot = self.walk_control.lock().expect("locked");
        if slot.is_some() {
            return;
        }
        *slot = Some(request.clone());
        drop(slot);
        if !*self.running.lock().expect("locked") {
            *self.walk_control.lock().expect("locked") = None;
            return;
        }
        request.wait();
    }

    /// `damos_walk_cancel()`
    fn walk_cancel(&self) {
        let request = self.walk_control.lock().expect("locked").clone();
        if let Some(request) = request {
            request.complete();
            *self.walk_control.lock().expect("locked") = None;
        }
    }
}

/// Two walks of a caller, while somebody starts a context whose kdamond cancels and ends.
pub(crate) fn restart() {
    let context = Arc::new(
        Context {
            walk_control: Mutex::new(None),
            running: Mutex::new(false),
        },
        GFP_KERNEL,
    )
    .expect("there is memory");
    let caller = thread::spawn({
        let context = context.clone();
        move || {
            context.walk();
            context.walk();
        }
    });
    *context.running.lock().expect("locked") = true;
    context.walk_cancel();
    // The end, which the last look comes behind.
    *context.running.lock().expect("locked") = false;
    context.walk_cancel();
    caller.join().expect("the caller has returned");
}
