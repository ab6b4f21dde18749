// SPDX-License-Identifier: GPL-2.0

//! A file in debugfs whose readers keep the module loaded.
//!
//! A file of the kernel crate's `debugfs` has operations without an owner: unload the module while
//! one is open, and closing it reads what is not there any more.
//!
//! C header: `src/debugfs/file.h`

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

/// What is in a file.
pub(crate) trait Contents: Send + Sync + 'static {
    /// Writes all of it. On failure, that is what a reader gets.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> Result;
}

/// A directory with one file, that reads as what is in `T`. Dropping it removes both.
///
/// # Invariants
///
/// `dir` is what `damon_rs_debugfs_create()` returned for `file`, whose data points to `data` and
/// whose function takes that type. Neither moves as long as `dir` is there.
pub(crate) struct DebugFile<T: Contents> {
    dir: *mut c::dentry,
    // What follows is used by readers, and dropped after `drop` has waited for them.
    _file: KBox<bindings::damon_rs_debugfs_file>,
    _data: KBox<T>,
}

// SAFETY: A directory may be removed by any thread; `T` is `Send`.
unsafe impl<T: Contents> Send for DebugFile<T> {}
// SAFETY: Nothing can be done with a shared one.
unsafe impl<T: Contents> Sync for DebugFile<T> {}

impl<T: Contents> DebugFile<T> {
    /// Creates directory and file. Fails with `ENOMEM`; if debugfs is not there for another reason,
    /// there is just no file.
    pub(crate) fn new(dir: &'static CStr, name: &'static CStr, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL)?;
        let mut file = KBox::new(
            bindings::damon_rs_debugfs_file {
                show: Some(show::<T>),
                data: (&raw const *data).cast_mut().cast(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: Both names are C strings. `file` and `data` stay until the directory is removed.
        let dir = unsafe {
            bindings::damon_rs_debugfs_create(dir.as_char_ptr(), name.as_char_ptr(), &mut *file)
        };
        if let Err(ENOMEM) = from_err_ptr(dir) {
            return Err(ENOMEM);
        }
        // INVARIANT: As said.
        Ok(Self {
            dir,
            _file: file,
            _data: data,
        })
    }
}

impl<T: Contents> Drop for DebugFile<T> {
    fn drop(&mut self) {
        // SAFETY: By the invariants this is the directory, or the error that debugfs takes for one.
        // Waits until nobody reads the file, and lets nobody open it again.
        unsafe { c::debugfs_remove(self.dir) };
    }
}

/// Writes the whole file.
///
/// # Safety
///
/// `m` must be a `seq_file` whose private data points to a `T` that is there during the call.
unsafe extern "C" fn show<T: Contents>(m: *mut c::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By this function's requirement.
    let data = unsafe { &*(*m).private.cast::<T>() };
    // SAFETY: By this function's requirement, and nobody else writes to it meanwhile.
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

/// Prints, and remembers what became of that: printing into a `seq_file` does not tell.
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
