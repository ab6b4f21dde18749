// SPDX-License-Identifier: GPL-2.0

//! Error codes.

use crate::alloc::{
    kvec::PushError,
    AllocError, //
};

/// A kernel error code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(&'static str);

impl Error {
    /// The error of a negative number, of those that the kernel crate has no name for.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            -125 => code::ECANCELED,
            _ => code::EINVAL,
        }
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A result with an [`Error`].
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// The codes.
pub mod code {
    use super::Error;

    /// Not permitted.
    pub const EPERM: Error = Error("EPERM");
    /// Disturbed by a signal.
    pub const EINTR: Error = Error("EINTR");
    /// No such device.
    pub const ENODEV: Error = Error("ENODEV");
    /// Out of memory.
    pub const ENOMEM: Error = Error("ENOMEM");
    /// In use.
    pub const EBUSY: Error = Error("EBUSY");
    /// A value that cannot be.
    pub const EINVAL: Error = Error("EINVAL");
    /// Given up.
    pub const ECANCELED: Error = Error("ECANCELED");
    /// Operation not supported.
    pub const EOPNOTSUPP: u32 = 95;
}

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        code::ENOMEM
    }
}

impl<T> From<PushError<T>> for Error {
    fn from(_: PushError<T>) -> Self {
        code::EINVAL
    }
}
