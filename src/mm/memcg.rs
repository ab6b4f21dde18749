// SPDX-License-Identifier: GPL-2.0

//! Look-up of memory control groups (memcgs) by path.
//!
//! A memcg ID is the ID of its cgroup and is never reused. A filter or goal can therefore keep the
//! ID without a reference to the memcg: once the memcg has been removed, no folio is charged to it.
//!
//! C header: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use kernel::prelude::*;

/// Returns the ID of the memcg at `path`, which is relative to the mount point of its hierarchy and
/// may end with a newline. Memcgs that are being removed are skipped.
///
/// Fails with `EINVAL` if there is no such memcg, with `ENODEV` if the kernel functions to iterate
/// over memcgs were not found, and with `ENOMEM`. Sleeps.
#[cfg(CONFIG_MEMCG)]
pub(crate) fn memcg_id(path: &[u8]) -> Result<u64> {
    let mut found = PathBuffer::new()?;
    let mut groups = Groups::new()?;
    while groups.advance() {
        if groups.is_online() && is_same(groups.path(&mut found), path) {
            return Ok(groups.id());
        }
    }
    Err(EINVAL)
}

/// Without `CONFIG_MEMCG` no path is valid.
#[cfg(not(CONFIG_MEMCG))]
pub(crate) fn memcg_id(_: &[u8]) -> Result<u64> {
    Err(EINVAL)
}

/// Returns whether two paths are equal, apart from one newline at the end of each.
#[cfg(any(CONFIG_MEMCG, CONFIG_KUNIT = "y"))]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    fn trim(path: &[u8]) -> &[u8] {
        match path {
            [path @ .., b'\n'] => path,
            path => path,
        }
    }
    trim(one) == trim(other)
}

#[cfg(CONFIG_MEMCG)]
use groups::{
    Groups,
    PathBuffer, //
};

#[cfg(CONFIG_MEMCG)]
mod groups {
    use super::super::symbols::{
        self,
        Memcgs, //
    };
    use crate::bindings;
    use kernel::{
        bindings as c,
        prelude::*, //
    };

    /// A buffer of `PATH_MAX` bytes.
    pub(super) struct PathBuffer(KVec<u8>);

    impl PathBuffer {
        pub(super) fn new() -> Result<Self> {
            const LEN: usize = c::PATH_MAX as usize;
            let mut buffer = KVec::with_capacity(LEN, GFP_KERNEL)?;
            for _ in 0..LEN {
                buffer.push_within_capacity(0)?;
            }
            Ok(Self(buffer))
        }
    }

    /// An iteration over all memcgs.
    ///
    /// # Invariants
    ///
    /// `current` is null, or a memcg that `mem_cgroup_iter()` has returned. This value owns the
    /// iterator's reference to it.
    pub(super) struct Groups {
        calls: &'static Memcgs,
        current: *mut c::mem_cgroup,
    }

    impl Groups {
        /// Creates an iteration that is before the first memcg. Fails with `ENODEV` if the kernel
        /// functions for it were not found.
        pub(super) fn new() -> Result<Self> {
            // INVARIANT: `current` is null.
            Ok(Self {
                calls: symbols::memcgs().ok_or(ENODEV)?,
                current: core::ptr::null_mut(),
            })
        }

        /// Advances to the next memcg. Returns `false` after the last.
        pub(super) fn advance(&mut self) -> bool {
            let (root, cookie) = (core::ptr::null_mut(), core::ptr::null_mut());
            // SAFETY: A null root stands for the root memcg. By the type invariants `self.current`
            // is null or a memcg with the iterator's reference, which this call drops. The caller
            // is in process context and holds no lock.
            let next = unsafe { self.calls.mem_cgroup_iter(root, self.current, cookie) };
            // INVARIANT: The call has returned null, or a memcg with a reference that this value
            // now owns.
            self.current = next;
            !next.is_null()
        }

        /// Returns whether the current memcg is online, that is, not being removed.
        pub(super) fn is_online(&self) -> bool {
            if self.current.is_null() {
                return false;
            }
            // SAFETY: `self.current` is not null, so by the type invariants it is a valid memcg.
            unsafe { bindings::damon_rs_helper_mem_cgroup_online(self.current) }
        }

        /// Returns the ID of the current memcg, 0 if there is none.
        pub(super) fn id(&self) -> u64 {
            // SAFETY: By the type invariants `self.current` is a valid memcg or null, and
            // `mem_cgroup_id()` accepts null.
            unsafe { bindings::damon_rs_helper_mem_cgroup_id(self.current) }
        }

        /// Returns the path of the current memcg. Empty if there is none, or if the path cannot be
        /// obtained.
        pub(super) fn path<'a>(&self, buffer: &'a mut PathBuffer) -> &'a [u8] {
            if self.current.is_null() {
                return &[];
            }
            let buffer = buffer.0.as_mut_slice();
            // SAFETY: `self.current` is not null, so by the type invariants it is a valid memcg.
            // The function writes at most `buffer.len()` bytes to the buffer.
            let len = unsafe {
                bindings::damon_rs_helper_mem_cgroup_path(
                    self.current,
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                )
            };
            // A negative value is an error. A path that does not fit is truncated.
            let len = usize::try_from(len).unwrap_or(0);
            buffer.get(..len).unwrap_or(&[])
        }
    }

    impl Drop for Groups {
        fn drop(&mut self) {
            if !self.current.is_null() {
                let null = core::ptr::null_mut();
                // SAFETY: A null root stands for the root memcg. By the type invariants this value
                // owns the iterator's reference to `self.current`, and it does not use it after
                // this call.
                unsafe { self.calls.mem_cgroup_iter_break(null, self.current) };
            }
        }
    }
}

#[kunit_tests(damon_rs_mm_memcg)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_is_not_part_of_a_path() {
        assert!(is_same(b"/a/b", b"/a/b\n"));
        assert!(is_same(b"/a/b\n", b"/a/b"));
        assert!(!is_same(b"/a/b", b"/a/b\n\n"));
        assert!(!is_same(b"/a/b", b"/a"));
        assert!(!is_same(b"/a", b"/a/b"));
        assert!(!is_same(b"/", b""));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(memcg_id(b"").is_err());
        assert!(memcg_id(b"/there is no group of this name\n").is_err());
    }
}
