// SPDX-License-Identifier: GPL-2.0

//! A debugfs file that keeps the module loaded while it is open.
//!
//! Files of the kernel crate's `debugfs` have file operations without an owner. If the module is
//! unloaded while one of them is open, closing it accesses freed memory.
//!
//! C header: `src/debugfs/file.h`
//!
//! ```ignore
//! struct Version;
//!
//! impl Contents for Version {
//!     fn write(&self, f: &mut fmt::Formatter<'_>) -> Result {
//!         f.write_str("1\n").map_err(|_| ENOMEM)
//!     }
//! }
//!
//! // Creates `/sys/kernel/debug/damon_rs/version`. Dropping `file` removes both.
//! let file = DebugFile::new(c"damon_rs", c"version", Version)?;
//! ```

use crate::bindings;
use core::cell::Cell;
use kernel::{
    bindings as c,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::CStrExt, //
};

/// The contents of a debugfs file.
pub(crate) trait Contents: Send + Sync + 'static {
    /// Writes the whole contents. An error is returned to the reader. Runs on the thread of the
    /// reader.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result;
}

/// A debugfs directory with one file. Reading the file returns the contents `T`. Dropping this
/// value removes both.
///
/// # Invariants
///
/// `dir` was returned by `damon_rs_debugfs_create()` for `_file`. The `data` of `_file` points to
/// `_data`, and its `show` function expects this type. Both stay at the same address until `dir` is
/// removed.
pub(crate) struct DebugFile<T: Contents> {
    dir: *mut c::dentry,
    // Readers use the fields below. They are dropped after `drop()` has waited for the readers.
    _file: KBox<bindings::damon_rs_debugfs_file>,
    _data: KBox<T>,
}

// SAFETY: Any thread may remove a debugfs directory, and `T` is `Send`.
unsafe impl<T: Contents> Send for DebugFile<T> {}
// SAFETY: `DebugFile` has no method that takes a shared reference. Readers share `T`, which is
// `Sync`.
unsafe impl<T: Contents> Sync for DebugFile<T> {}

impl<T: Contents> DebugFile<T> {
    /// Creates the directory and the file. Fails with `ENOMEM`. If debugfs is not available for
    /// another reason, there is no file and this succeeds.
    pub(crate) fn new(dir: &'static CStr, name: &'static CStr, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL)?;
        let mut file = KBox::new(
            bindings::damon_rs_debugfs_file {
                show: Some(show::<T>),
                data: (&raw const *data).cast_mut().cast(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: Both names are C strings. `file` and `data` are in boxes that are freed after
        // `drop()` has removed the directory.
        let dir = unsafe {
            bindings::damon_rs_debugfs_create(dir.as_char_ptr(), name.as_char_ptr(), &mut *file)
        };
        if let Err(ENOMEM) = from_err_ptr(dir) {
            return Err(ENOMEM);
        }
        // INVARIANT: `dir` was created for `file`. Its `data` and `show` were set above, and the
        // boxes keep their addresses.
        Ok(Self {
            dir,
            _file: file,
            _data: data,
        })
    }
}

impl<T: Contents> Drop for DebugFile<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `dir` is a dentry, or an error pointer, for which
        // `debugfs_remove()` does nothing. The function waits until no reader runs, and prevents
        // new ones.
        unsafe { c::debugfs_remove(self.dir) };
    }
}

/// Writes the whole file.
///
/// # Safety
///
/// `m` must be a `seq_file` that no other thread accesses during the call. Its private data must
/// point to a `T` that is valid during the call.
unsafe extern "C" fn show<T: Contents>(m: *mut c::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the safety requirements `m` is valid, and its private data points to a `T` that is
    // valid during the call.
    let data = unsafe { &*(*m).private.cast::<T>() };
    // SAFETY: By the safety requirements `m` is valid, and no other thread accesses it during the
    // call.
    let m = unsafe { SeqFile::from_raw(m) };
    let attempt = Attempt {
        contents: data,
        result: Cell::new(Ok(())),
    };
    seq_print!(m, "{}", attempt);
    match attempt.result.get() {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Prints the contents and keeps the result, which printing into a `seq_file` does not return.
struct Attempt<'a, T> {
    contents: &'a T,
    result: Cell<Result>,
}

impl<T: Contents> fmt::Display for Attempt<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.contents.write(f);
        self.result.set(result);
        result.map_err(|_| fmt::Error)
    }
}
