// SPDX-License-Identifier: GPL-2.0

//! Advice on a range of an address space, as `madvise()` gives it.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use kernel::{
    ffi::c_int,
    mm::MmWithUser, //
};

#[cfg(CONFIG_ADVISE_SYSCALLS)]
use super::symbols;
use crate::bindings;

/// What the kernel is to do with a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Advice {
    /// Bring back what was swapped out, read what is in files.
    Willneed,
    /// Reclaim it early.
    Cold,
    /// Reclaim it now.
    Pageout,
    /// Use huge pages from now on.
    Hugepage,
    /// Use none any more.
    Nohugepage,
    /// Replace by huge pages now.
    Collapse,
}

impl Advice {
    fn behavior(self) -> c_int {
        let behavior = match self {
            Self::Willneed => bindings::MADV_WILLNEED,
            Self::Cold => bindings::MADV_COLD,
            Self::Pageout => bindings::MADV_PAGEOUT,
            Self::Hugepage => bindings::MADV_HUGEPAGE,
            Self::Nohugepage => bindings::MADV_NOHUGEPAGE,
            Self::Collapse => bindings::MADV_COLLAPSE,
        };
        // CAST: Small numbers.
        behavior as c_int
    }
}

/// Whether this kernel lets us give advice.
pub(crate) fn can_advise() -> bool {
    #[cfg(CONFIG_ADVISE_SYSCALLS)]
    return symbols::advice().is_some();
    #[cfg(not(CONFIG_ADVISE_SYSCALLS))]
    return false;
}

/// Gives advice on `len` bytes from `start` on. Returns whether it was taken for all of them; if
/// not, it may have been for some. `start` must be the beginning of a page.
///
/// Sleeps, waits for the lock of the address space and for those who use the range.
#[cfg(CONFIG_ADVISE_SYSCALLS)]
pub(crate) fn advise(mm: &MmWithUser, start: usize, len: usize, advice: Advice) -> bool {
    let Some(calls) = symbols::advice() else {
        return false;
    };
    // SAFETY: The address space has users as long as it is borrowed, and need not be that of the
    // current thread for any of the six. The function checks the range. Its locks are not held.
    unsafe { calls.do_madvise(mm.as_raw(), start, len, advice.behavior()) == 0 }
}

/// Nothing that the kernel could be advised with.
#[cfg(not(CONFIG_ADVISE_SYSCALLS))]
pub(crate) fn advise(_: &MmWithUser, _: usize, _: usize, advice: Advice) -> bool {
    let _ = advice.behavior();
    false
}
