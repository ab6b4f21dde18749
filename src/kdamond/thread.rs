// SPDX-License-Identifier: GPL-2.0

//! A kernel thread that owns what it works on.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

pub(crate) mod bell;
pub(crate) mod global;
pub(crate) mod waits;

use super::sync::Monitor;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    task::Task,
};

/// A kernel thread. Dropping it waits until the thread's function has returned.
///
/// # Invariants
///
/// `task` was made by `kthread_create_on_node()` with a function of this module, the thread's
/// function has been entered, and nothing else calls `kthread_stop()` on it.
pub(crate) struct Thread {
    task: ARef<Task>,
}

/// What the new thread gets.
struct Start<F> {
    body: F,
    entered: Arc<Monitor<bool>>,
}

/// The function that the new thread runs.
///
/// # Safety
///
/// `data` must come from [`KBox::into_raw`] of a `KBox<Start<F>>` that this call may take over.
unsafe extern "C" fn enter<F: FnOnce() + Send + 'static>(data: *mut c_void) -> c_int {
    // SAFETY: By this function's requirement `data` is a box that is ours now.
    let start = unsafe { KBox::from_raw(data.cast::<Start<F>>()) };
    let Start { body, entered } = KBox::into_inner(start);
    *entered.lock() = true;
    entered.notify_all();
    drop(entered);
    let working = waits::Working::begin();
    body();
    drop(working);
    0
}

impl Thread {
    /// Runs `body` in a new thread named `kdamond.<number>`.
    ///
    /// Sleeps until the thread runs. Fails with `ENOMEM` or what `kthread_create()` fails with;
    /// `body` is dropped then.
    pub(crate) fn spawn<F: FnOnce() + Send + 'static>(number: c_int, body: F) -> Result<Self> {
        let entered = Monitor::new(false)?;
        let start = KBox::new(
            Start {
                body,
                entered: entered.clone(),
            },
            GFP_KERNEL,
        )?;
        let data = KBox::into_raw(start);

        // SAFETY: `enter::<F>` has the right type, and its requirement is met: `data` is a box of
        // the same `F`, given up here, and a thread function is entered at most once. The format
        // string takes one `int`.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(enter::<F>),
                data.cast(),
                bindings::NUMA_NO_NODE,
                c"kdamond.%d".as_char_ptr(),
                number,
            )
        });
        let task = match task {
            Ok(task) => task,
            Err(error) => {
                // SAFETY: No thread was made, so `data` is still the box given up above.
                drop(unsafe { KBox::from_raw(data) });
                return Err(error);
            }
        };

        // SAFETY: A thread that has not been woken yet does not end, so `task` is valid here.
        // `Task` is a transparent wrapper of `task_struct`.
        let task = ARef::from(unsafe { &*task.cast::<Task>() });
        task.wake_up();

        // A thread that is stopped before it enters its function never enters it, and `data` would
        // leak.
        let mut seen = entered.lock();
        while !*seen {
            entered.wait(&mut seen);
        }
        drop(seen);

        // INVARIANT: Made above, entered, and nobody else knows the task as ours.
        Ok(Self { task })
    }

    /// The thread's number, in the initial PID namespace.
    pub(crate) fn pid(&self) -> i32 {
        self.task.pid()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        waits::for_a_kdamond();
        // SAFETY: By the invariants this is a kthread, to which we hold a reference, and that is
        // stopped once. Waits for its end; after that no code of this module runs in it.
        unsafe { bindings::kthread_stop(self.task.as_ptr()) };
    }
}

/// A number that nobody can foresee, to seed a generator.
pub(crate) fn random_seed() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::get_random_u64() }
}
