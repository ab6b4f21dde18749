// SPDX-License-Identifier: GPL-2.0

//! The sysfs interface: directories of attribute files that hold parameters and results.
//!
//! A store to a parameter file only changes the value of that file. A command that is written to
//! the `state` file of a kdamond applies the values: `on` and `commit` build a parameter set from
//! them. The `update_…` commands write results back to the files. A running kdamond reads
//! `refresh_ms` itself, so a store to that file needs no command.
//!
//! Each directory type is a struct. One table lists its files ([`kobject::Directory`]), its fields
//! own its subdirectories, and a list owns numbered subdirectories ([`list`]).
//!
//! # Locks
//!
//! Removing a file waits until the last kernfs active reference to it is dropped, that is, until
//! all running show() and store() calls of the file have returned. Removing a directory does so for
//! each file below it. Hence the first rule: *a task that removes a directory holds no lock that a
//! show() or store() below that directory waits for.*
//!
//! - Values need no lock, see [`values`].
//! - The structure lock ([`list::Structure`]) serializes adding and removing directories. There is
//!   one for the list of kdamonds, and one for each kdamond that covers all directories below it. A
//!   store to an `nr_…` file only tries to acquire it and fails with `EBUSY`, because the holder
//!   may be removing the directory of that file. A store to `state` waits for the structure lock of
//!   its own kdamond, because the holder of that lock never removes `state`.
//! - The lock of one list ([`list::Dirs`]) is held only to read or to swap the list. No other lock
//!   is acquired under it, and the directories that a swap removes are dropped after its release.
//!
//! The second rule: *a task that waits for a kdamond holds no lock that other tasks wait for.* A
//! command reads the values it needs, releases its locks, sends the request to the kdamond, and
//! checks that the directories are still the same before it shows a result in them. So `off` and
//! `commit` proceed while another task waits for a walk. The exception is a kdamond's `starting`
//! lock, which `on` holds until the thread is started: only unloading waits for it.
//!
//! The lock order is in `Documentation/mm/damon/requests.rst`.
//!
//! # Unloading
//!
//! Dropping [`Tree`] first closes the structure locks, so that no directory is added below one that
//! is being removed, and stops all kdamonds, which ends all requests that tasks wait for. Then it
//! removes the top directory, which waits until all running show() and store() calls have returned.
//! After that no task can reach the data, and it is freed.

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

pub use tree::Tree;

use crate::{
    debug,
    errno::eopnotsupp,
    mm::memcg_id, //
};
use kernel::prelude::*;

/// Returns the memcg ID of the memory control group at `path`, the content of the attribute file
/// `file`.
///
/// Sleeps. Fails with `EINVAL` if there is no such group, with `EOPNOTSUPP` if the module cannot
/// iterate over the groups of this kernel, and with `ENOMEM`. Writes a debug message that names
/// `file` if it fails.
fn existing_memcg(path: &[u8], file: &str) -> Result<u64> {
    memcg_id(path).map_err(|err| match err {
        ENODEV => unsupported(file),
        ENOMEM => {
            debug!("{file}: out of memory");
            ENOMEM
        }
        err => {
            debug!("{file}: no memory cgroup has this path");
            err
        }
    })
}

/// Returns `EOPNOTSUPP`, for a value of the attribute file `file` that the module cannot support on
/// this kernel. Writes a debug message that names the file.
fn unsupported(file: &str) -> Error {
    debug!("{file}: this kernel does not support the value");
    eopnotsupp()
}
