// SPDX-License-Identifier: GPL-2.0

//! A kernel thread that owns the state it works on.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

pub(crate) mod global;
pub(crate) mod signals;
pub(crate) mod waits;
pub(crate) mod wakeup;

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
        Arc,
        Completion, //
    },
    task::Task,
};

/// A kernel thread. Dropping it sleeps until the thread's function has returned.
///
/// # Invariants
///
/// `task` was created by `kthread_create_on_node()` with [`enter`] as its function, that function
/// has been entered, and no other code calls `kthread_stop()` on the task.
pub(crate) struct Thread {
    task: ARef<Task>,
}

/// The argument of the thread function.
struct Start<F> {
    body: F,
    entered: Arc<Completion>,
}

/// The thread function.
///
/// # Safety
///
/// `data` must come from [`KBox::into_raw`] of a `KBox<Start<F>>`, and the caller must give up its
/// ownership.
unsafe extern "C" fn enter<F: FnOnce() + Send + 'static>(data: *mut c_void) -> c_int {
    // SAFETY: By the safety requirements of this function, `data` comes from `KBox::into_raw` of a
    // `KBox<Start<F>>` that is owned by this call.
    let start = unsafe { KBox::from_raw(data.cast::<Start<F>>()) };
    let Start { body, entered } = KBox::into_inner(start);
    entered.complete_all();
    drop(entered);
    let working = waits::Working::begin();
    body();
    drop(working);
    0
}

impl Thread {
    /// Runs `body` in a new thread named `kdamond.<number>`.
    ///
    /// Sleeps until the thread has entered its function. Fails with `ENOMEM` or the error of
    /// `kthread_create_on_node()`; `body` is dropped in that case.
    pub(crate) fn spawn<F: FnOnce() + Send + 'static>(number: c_int, body: F) -> Result<Self> {
        let entered = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let start = KBox::new(
            Start {
                body,
                entered: entered.clone(),
            },
            GFP_KERNEL,
        )?;
        let data = KBox::into_raw(start);

        // SAFETY: `enter::<F>` is a thread function. Its safety requirements are met: `data` comes
        // from `KBox::into_raw` of a `KBox<Start<F>>` above and is not used afterwards if a thread
        // was created, and a thread function is entered at most once. The format string takes one
        // `int`, which is `number`.
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
                // SAFETY: After an error the kernel does not call `enter`, so this function still
                // owns the box that `data` comes from.
                drop(unsafe { KBox::from_raw(data) });
                return Err(error);
            }
        };

        // SAFETY: `kthread_create_on_node()` has returned a valid task. The thread neither enters
        // its function nor exits before it is woken up below, so the task is valid until the
        // reference is taken. `Task` is a transparent wrapper of `task_struct`.
        let task = ARef::from(unsafe { &*task.cast::<Task>() });
        task.wake_up();

        // A thread that is stopped before it enters its function never enters it, and `data` would
        // leak.
        entered.wait_for_completion();

        // INVARIANT: The task was created above with `enter`, which has been entered. Only this
        // `Thread` has the task, so no other code calls `kthread_stop()` on it.
        Ok(Self { task })
    }

    /// Returns the PID of the thread in the initial PID namespace.
    pub(crate) fn pid(&self) -> i32 {
        self.task.pid()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        waits::for_a_kdamond();
        // SAFETY: By the type invariants the task is a kthread, `self.task` has a reference to it,
        // and no other code stops it; `drop` runs once. When `kthread_stop()` returns, the thread
        // has exited and executes no code of this module any more.
        unsafe { bindings::kthread_stop(self.task.as_ptr()) };
    }
}

/// Returns an unpredictable number, to be used as a seed.
pub(crate) fn random_seed() -> u64 {
    // SAFETY: `get_random_u64()` may be called in any context.
    unsafe { bindings::get_random_u64() }
}
