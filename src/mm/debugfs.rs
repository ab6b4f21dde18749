// SPDX-License-Identifier: GPL-2.0

//! A file in debugfs whose readers keep the module loaded.
//!
//! A file of the kernel crate's `debugfs` has operations without an owner: unload the module while
//! one is open, and closing it reads what is not there any more.
//!
//! C header: `src/debugfs/file.h`

use crate::bindings;
use kernel::{
    bindings as c,
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

/// A directory with one file, that reads as `T` prints. Dropping it removes both.
///
/// # Invariants
///
/// `dir` is what `damon_rs_debugfs_create()` returned for `file`, whose data points to `data` and
/// whose function takes that type. Neither moves as long as `dir` is there.
pub(crate) struct DebugFile<T: fmt::Display + Send + Sync + 'static> {
    dir: *mut c::dentry,
    // What follows is used by readers, and dropped after `drop` has waited for them.
    _file: KBox<bindings::damon_rs_debugfs_file>,
    _data: KBox<T>,
}

// SAFETY: A directory may be removed by any thread; `T` is `Send`.
unsafe impl<T: fmt::Display + Send + Sync + 'static> Send for DebugFile<T> {}
// SAFETY: Nothing can be done with a shared one.
unsafe impl<T: fmt::Display + Send + Sync + 'static> Sync for DebugFile<T> {}

impl<T: fmt::Display + Send + Sync + 'static> DebugFile<T> {
    /// Creates directory and file. Fails with `ENOMEM`; without debugfs there is just no file.
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
        // INVARIANT: As said.
        Ok(Self {
            dir,
            _file: file,
            _data: data,
        })
    }
}

impl<T: fmt::Display + Send + Sync + 'static> Drop for DebugFile<T> {
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
unsafe extern "C" fn show<T: fmt::Display + Send + Sync + 'static>(
    m: *mut c::seq_file,
    _: *mut c_void,
) -> c_int {
    // SAFETY: By this function's requirement.
    let data = unsafe { &*(*m).private.cast::<T>() };
    // SAFETY: By this function's requirement, and nobody else writes to it meanwhile.
    let m = unsafe { SeqFile::from_raw(m) };
    seq_print!(m, "{}", data);
    0
}
