// SPDX-License-Identifier: GPL-2.0

//! `madvise()` on a range of any address space.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)

use kernel::{
    ffi::c_int,
    mm::MmWithUser, //
};

#[cfg(CONFIG_ADVISE_SYSCALLS)]
use super::symbols;
use crate::bindings;

/// The kinds of advice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Advice {
    /// Swap in anonymous memory, and read file memory into the page cache.
    Willneed,
    /// Deactivate the memory, so that it is reclaimed early.
    Cold,
    /// Reclaim the memory now.
    Pageout,
    /// Allow huge pages.
    Hugepage,
    /// Do not use huge pages.
    Nohugepage,
    /// Collapse the memory into huge pages now.
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
        // CAST: The constants are small.
        behavior as c_int
    }
}

/// Returns whether `do_madvise()` was found.
pub(crate) fn can_advise() -> bool {
    #[cfg(CONFIG_ADVISE_SYSCALLS)]
    return symbols::advice().is_some();
    #[cfg(not(CONFIG_ADVISE_SYSCALLS))]
    return false;
}

/// Gives advice on the `len` bytes from `start` on, which must be the start of a page. Returns
/// whether it was applied to all of them. If not, it may have been applied to a part.
///
/// Sleeps, and acquires the mmap lock. The caller must hold no lock of memory management.
#[cfg(CONFIG_ADVISE_SYSCALLS)]
pub(crate) fn advise(mm: &MmWithUser, start: usize, len: usize, advice: Advice) -> bool {
    let Some(calls) = symbols::advice() else {
        return false;
    };
    // SAFETY: `mm` has users as long as it is borrowed. `do_madvise()` checks the range and
    // acquires the mmap lock, which is not held here. `mm` need not be that of the current thread:
    // `process_madvise()` allows `MADV_WILLNEED`, `MADV_COLD`, `MADV_PAGEOUT` and `MADV_COLLAPSE`
    // for other processes, `MADV_HUGEPAGE` and `MADV_NOHUGEPAGE` only change flags of VMAs of `mm`,
    // and where the code depends on `current->mm`, it does so to detect a remote mm.
    unsafe { calls.do_madvise(mm.as_raw(), start, len, advice.behavior()) == 0 }
}

/// Without `CONFIG_ADVISE_SYSCALLS` no advice can be given.
#[cfg(not(CONFIG_ADVISE_SYSCALLS))]
pub(crate) fn advise(_: &MmWithUser, _: usize, _: usize, advice: Advice) -> bool {
    let _ = advice.behavior();
    false
}
