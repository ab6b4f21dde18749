// SPDX-License-Identifier: GPL-2.0

//! What the user wants: a tree of directories whose files are plain values.
//!
//! Nothing in here takes effect until a word is written to a kdamond's `state`. `on` and `commit`
//! build a parameter set from the values, the `update_…` words bring results back into them.
//!
//! Each directory type has a struct, with its files in one table ([`kobject::Directory`]), the
//! directories inside as fields, and the numbered ones in a list ([`list`]).
//!
//! # Locks
//!
//! Removing a directory waits for the functions of all files below. Hence the first rule: *who
//! removes directories holds nothing that these functions wait for.*
//!
//! - Values need no lock, see [`values`].
//! - The right to add and remove directories ([`list::Structure`]) is there once for the list of
//!   kdamonds, and once for each kdamond, for what is below of it. A file `nr_…` gets it at once or
//!   fails with `EBUSY`, since its directory may be just what the holder removes. The file `state`
//!   waits for the right of its own kdamond, with which `state` itself is never removed.
//! - The lock of one list ([`list::Dirs`]) is for a look at it or to swap it. Nothing else is taken
//!   under it, and what a swap removes is dropped without it.
//!
//! The second rule: *who waits for a kdamond holds no lock that others wait for.* A command takes
//! what it needs of the tree, lets go of it, asks the kdamond, and looks again at whether the
//! directories are still the same ones before it shows an answer in them. So `off` and `commit` get
//! through while another writer waits for a walk.
//!
//! Order: a kdamond's `starting` lock, its right to change directories, the lock of a list or text.
//!
//! # Unloading
//!
//! Dropping [`Tree`] first takes the right to change directories away for good, so that nobody adds
//! one to a directory that is being removed, and stops all kdamonds, which ends whatever was waiting
//! for one. Then the top directory is removed, which waits for those that are inside of a function
//! of a file. Then nobody can reach the data, and it is freed.

mod attrs;
mod contexts;
mod dests;
mod filters;
mod kdamonds;
mod kobject;
mod list;
mod probes;
mod quotas;
mod schemes;
mod state;
mod stats;
mod targets;
mod tree;
mod tried_regions;
mod values;
mod watermarks;

pub use kobject::parameters;
pub use tree::Tree;

use crate::{
    debug,
    mm::memcg_id, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// The number of the memory control group whose path is in a file.
///
/// Fails with `EINVAL` if there is none, with `EOPNOTSUPP` if this kernel's groups cannot be looked
/// at, and with `ENOMEM`.
fn known_memcg(path: &[u8], file: &str) -> Result<u64> {
    memcg_id(path).map_err(|err| match err {
        ENODEV => unsupported(file),
        err => {
            debug!("{file}: no memory control group of this path was found");
            err
        }
    })
}

/// The error for a parameter that cannot be acted upon with this kernel.
fn unsupported(file: &str) -> Error {
    debug!("{file}: what is in there is not supported with this kernel");
    // The kernel crate has no name for this one.
    i32::try_from(bindings::EOPNOTSUPP).map_or(EINVAL, |errno| Error::from_errno(-errno))
}
