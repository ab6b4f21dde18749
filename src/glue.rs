// SPDX-License-Identifier: GPL-2.0

//! Wrappers of kernel interfaces that are not memory management: debugfs, debug messages, sorting,
//! the text of attribute files and module parameters, and tracepoints.

pub(crate) mod debugfs;
pub(crate) mod log;
pub(crate) mod sort;
pub(crate) mod text;
pub(crate) mod tracepoints;
