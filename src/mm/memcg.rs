// SPDX-License-Identifier: GPL-2.0

//! Memory control groups, as users name them.
//!
//! A group is known by the number of its cgroup, which no other one ever gets. So a number can be
//! kept without keeping the group: when that is removed, nothing belongs to it any more.
//!
//! C header: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h)

use kernel::prelude::*;

/// The number of the group with this path, which is relative to the mount point of its hierarchy
/// and may end with a newline. A group that is being removed has no path any more.
///
/// Fails with `EINVAL` if there is none, with `ENODEV` if this kernel's groups cannot be looked at,
/// and with `ENOMEM`. Sleeps.
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

/// There are no groups.
#[cfg(not(CONFIG_MEMCG))]
pub(crate) fn memcg_id(_: &[u8]) -> Result<u64> {
    Err(EINVAL)
}

/// Whether two paths are the same, but for a newline at their ends.
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

    /// Room for the longest path.
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

    /// All memory control groups, one after the other.
    ///
    /// # Invariants
    ///
    /// `current` is null or a group that this value owns the iterator's reference to.
    pub(super) struct Groups {
        calls: &'static Memcgs,
        current: *mut c::mem_cgroup,
    }

    impl Groups {
        /// Before the first group.
        pub(super) fn new() -> Result<Self> {
            // INVARIANT: No group yet.
            Ok(Self {
                calls: symbols::memcgs().ok_or(ENODEV)?,
                current: core::ptr::null_mut(),
            })
        }

        /// Goes on to the next group. `false` behind the last.
        pub(super) fn advance(&mut self) -> bool {
            let (root, cookie) = (core::ptr::null_mut(), core::ptr::null_mut());
            // SAFETY: May be called in any context that may sleep. By the type invariants the
            // reference to the current group is ours to give.
            let next = unsafe { self.calls.mem_cgroup_iter(root, self.current, cookie) };
            // INVARIANT: The next one's is handed to us.
            self.current = next;
            !next.is_null()
        }

        /// Whether the current group is not being removed.
        pub(super) fn is_online(&self) -> bool {
            if self.current.is_null() {
                return false;
            }
            // SAFETY: By the type invariants the group is valid.
            unsafe { bindings::damon_rs_helper_mem_cgroup_online(self.current) }
        }

        /// The number of the current group, 0 without one.
        pub(super) fn id(&self) -> u64 {
            // SAFETY: By the type invariants the group is valid if there is one. There may be none.
            unsafe { bindings::damon_rs_helper_mem_cgroup_id(self.current) }
        }

        /// The path of the current group, empty without one.
        pub(super) fn path<'a>(&self, buffer: &'a mut PathBuffer) -> &'a [u8] {
            if self.current.is_null() {
                return &[];
            }
            let buffer = buffer.0.as_mut_slice();
            // SAFETY: By the type invariants the group is valid. No more is written than there is
            // room for.
            let len = unsafe {
                bindings::damon_rs_helper_mem_cgroup_path(
                    self.current,
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                )
            };
            // A path that does not fit is an error, as is one of a group that is gone.
            let len = usize::try_from(len).unwrap_or(0);
            buffer.get(..len).unwrap_or(&[])
        }
    }

    impl Drop for Groups {
        fn drop(&mut self) {
            if !self.current.is_null() {
                let null = core::ptr::null_mut();
                // SAFETY: By the type invariants we own the iterator's reference, and this value is
                // gone afterwards.
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
