// SPDX-License-Identifier: GPL-2.0

//! Errors that the kernel crate has no constant for.

use kernel::{
    bindings,
    prelude::*, //
};

fn error(errno: u32) -> Error {
    i32::try_from(errno).map_or(EINVAL, |errno| Error::from_errno(-errno))
}

/// Returns `ECANCELED`: a request was not served.
pub(crate) fn ecanceled() -> Error {
    error(bindings::ECANCELED)
}

/// Returns `EOPNOTSUPP`: this kernel does not support a value.
pub(crate) fn eopnotsupp() -> Error {
    error(bindings::EOPNOTSUPP)
}
