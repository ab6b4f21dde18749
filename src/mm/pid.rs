// SPDX-License-Identifier: GPL-2.0

//! Processes, identified by their PIDs.
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

/// A reference to a `struct pid`.
///
/// A PID number may be reused as soon as its process has ended. A `struct pid` is never reused
/// while there is a reference to it.
///
/// # Invariants
///
/// The pointer is to a `struct pid`, and this value owns one reference to it.
pub struct Pid(NonNull<c::pid>);

// SAFETY: The reference count of a `struct pid` is atomic, and any thread may drop a reference.
unsafe impl Send for Pid {}
// SAFETY: The methods only read fields that never change, or that are protected by RCU.
unsafe impl Sync for Pid {}

impl Pid {
    /// Returns the process with this PID in the PID namespace of the caller, `None` if there is
    /// none.
    pub fn find(nr: i32) -> Option<Self> {
        // SAFETY: The function accepts any number.
        let pid = NonNull::new(unsafe { c::find_get_pid(nr) })?;
        // INVARIANT: `find_get_pid()` returns a reference, which the new value owns.
        Some(Self(pid))
    }

    /// Returns the PID of this process in the PID namespace of the caller, 0 if it has none there.
    pub fn nr(&self) -> i32 {
        // SAFETY: The pid is valid by the type invariants.
        unsafe { c::pid_vnr(self.0.as_ptr()) }
    }

    /// Returns whether the process exists. This is true until its parent has waited for it.
    pub fn is_alive(&self) -> bool {
        // SAFETY: The pid is valid by the type invariants. The helper does not dereference its
        // task.
        unsafe { bindings::damon_rs_helper_pid_has_task(self.0.as_ptr()) }
    }

    /// Returns the address space of this process, also if its main thread has ended and others run.
    /// `None` if all have ended, and for a kernel thread.
    ///
    /// Dropping the result may be what frees the address space, and may sleep.
    pub fn mm(&self) -> Option<ARef<MmWithUser>> {
        let rcu = rcu::read_lock();
        // SAFETY: The pid is valid by the type invariants, and `rcu` is held.
        let task = NonNull::new(unsafe { c::pid_task(self.0.as_ptr(), c::pid_type_PIDTYPE_PID) })?;
        // SAFETY: The task was attached to the pid under `rcu`, so it is not freed while `rcu` is
        // held.
        let mm = NonNull::new(unsafe { bindings::damon_rs_helper_get_process_mm(task.as_ptr()) });
        drop(rcu);
        // SAFETY: The helper returns a reference that counts in `mm_users`, as
        // `ARef<MmWithUser>` owns one. `MmWithUser` is a transparent wrapper of `struct mm_struct`.
        mm.map(|mm| unsafe { ARef::from_raw(mm.cast()) })
    }

    /// Returns the address of the `mm_struct` of this process, which only serves to compare the
    /// address spaces of processes. `None` if it has none.
    pub fn mm_addr(&self) -> Option<usize> {
        self.mm().map(|mm| mm.as_raw().addr())
    }
}

impl Clone for Pid {
    fn clone(&self) -> Self {
        // SAFETY: The pid is valid by the type invariants.
        unsafe { bindings::damon_rs_helper_get_pid(self.0.as_ptr()) };
        // INVARIANT: The reference that the new value owns was acquired above.
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
        // SAFETY: By the type invariants this value owns a reference. It does not use the pid after
        // this call.
        unsafe { c::put_pid(self.0.as_ptr()) };
    }
}
