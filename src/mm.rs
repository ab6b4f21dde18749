// SPDX-License-Identifier: GPL-2.0

//! Memory management: what DAMON needs of the kernel's, behind types that cannot be misused.
//!
//! A process is named by a [`Pid`]. While it has memory, [`Pid::mm`] gives its address space as the
//! kernel crate's `MmWithUser`, whose existence proves that the page tables are there. A [`Cursor`]
//! reads accessed bits in them, and [`areas`] lists what is mapped.
//!
//! Nearly all unsafe code of the module lives below this file.

mod areas;
pub(crate) mod debugfs;
pub(crate) mod log;
mod page_table;
mod pid;
pub(crate) mod symbols;
pub(crate) mod tracepoints;

pub(crate) use areas::areas;
pub(crate) use page_table::{
    Cursor,
    Entry,
    FolioId,
    Forgotten, //
};
pub use pid::Pid;
