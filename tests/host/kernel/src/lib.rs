// SPDX-License-Identifier: GPL-2.0

//! Stand-in for the `kernel` crate: the few items that the tested files use, with the names and
//! signatures that they have there.
//!
//! What is not in here is not to be used in those files, or is to be added here first.

#![feature(coerce_unsized, unsize)]

pub mod alloc;
pub mod error;
pub mod inject;
pub mod sync;

/// Constants of the C code.
pub mod bindings {
    /// Given up.
    pub const ECANCELED: u32 = 125;
    /// Operation not supported.
    pub const EOPNOTSUPP: u32 = 95;
}

/// Pages.
pub mod page {
    /// The size of a page in bytes.
    pub const PAGE_SIZE: usize = 4096;
}

/// The items that kernel code imports all at once.
pub mod prelude {
    pub use crate::{
        alloc::{
            flags::*,
            KBox,
            KVVec,
            KVec,
            VVec, //
        },
        error::{
            code::*,
            Error,
            Result, //
        },
    };
    pub use core::mem::size_of;
    pub use macros::kunit_tests;
}
