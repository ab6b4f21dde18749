// SPDX-License-Identifier: GPL-2.0

//! Processes, as users name them.
//!
//! C header: [`include/linux/pid.h`](srctree/include/linux/pid.h)

use core::ptr::NonNull;

use kernel::{
    bindings as c,
    mm::MmWithUser,
    sync::{
        aref::ARef,
        rcu, //
    }, //
};

use crate::bindings;

/// A counted reference to a `struct pid`.
///
/// A number can come to mean another process as soon as its process has ended; a `struct pid` never
/// does.
///
/// # Invariants
///
/// The pointer is to a `struct pid` of which this value owns one reference.
pub struct Pid(NonNull<c::pid>);

// SAFETY: References to a `struct pid` are counted atomically, and may be put by any thread.
unsafe impl Send for Pid {}
// SAFETY: All methods take what they read under RCU, or from fields that never change.
unsafe impl Sync for Pid {}

impl Pid {
    /// The process of this number in the caller's pid namespace.
    pub fn find(nr: i32) -> Option<Self> {
        // SAFETY: Any number may be asked for.
        let pid = NonNull::new(unsafe { c::find_get_pid(nr) })?;
        // INVARIANT: `find_get_pid` hands its reference to the caller.
        Some(Self(pid))
    }

    /// The number of this process in the caller's pid namespace, 0 if it is not visible there.
    pub fn nr(&self) -> i32 {
        // SAFETY: The pid is valid by the type invariants.
        unsafe { c::pid_vnr(self.0.as_ptr()) }
    }

    /// Whether there still is a process: true until its parent has waited for it.
    pub fn is_alive(&self) -> bool {
        // SAFETY: The pid is valid by the type invariants. Its task is not looked at.
        unsafe { bindings::damon_rs_helper_pid_has_task(self.0.as_ptr()) }
    }

    /// The address space of this process, `None` once it has ended. Kernel threads have none
    /// either.
    ///
    /// Letting go of the result can be what tears the address space down, and may sleep.
    pub fn mm(&self) -> Option<ARef<MmWithUser>> {
        let rcu = rcu::read_lock();
        // SAFETY: The pid is valid by the type invariants, and we are inside of an RCU read-side
        // critical section.
        let task = NonNull::new(unsafe { c::pid_task(self.0.as_ptr(), c::pid_type_PIDTYPE_PID) })?;
        // SAFETY: The task was still attached to the pid, so it is freed no earlier than a grace
        // period from now.
        let mm = NonNull::new(unsafe { c::get_task_mm(task.as_ptr()) });
        drop(rcu);
        // SAFETY: `get_task_mm` hands its `mm_users` reference, which is what `ARef<MmWithUser>`
        // owns, to the caller. The type is a transparent wrapper of `struct mm_struct`.
        mm.map(|mm| unsafe { ARef::from_raw(mm.cast()) })
    }
}

impl Clone for Pid {
    fn clone(&self) -> Self {
        // SAFETY: The pid is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_get_pid(self.0.as_ptr()) };
        // INVARIANT: We have just taken the reference that the new value owns.
        Self(self.0)
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Pid {}

impl Drop for Pid {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a reference, and this value is gone afterwards.
        unsafe { c::put_pid(self.0.as_ptr()) };
    }
}
