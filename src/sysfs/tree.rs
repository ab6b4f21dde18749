// SPDX-License-Identifier: GPL-2.0

//! The top directories, `damon/` and `damon/admin/`, in `/sys/kernel/mm`.

use super::{
    kdamonds::Kdamonds,
    kobject::{
        Dir,
        Directory,
        File,
        Place, //
    },
    list::{
        List,
        Structure, //
    },
};
use crate::kdamond::Registry;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::Arc, //
};

/// All directories of the module. Dropping it stops all kdamonds of the tree and removes all
/// directories. It sleeps until the threads have ended and all show() and store() calls have
/// returned.
pub struct Tree(Dir<Root>);

impl Tree {
    /// Creates the directories, without kdamonds.
    ///
    /// Fails with `ENOENT` if the module did not find `/sys/kernel/mm`, with `ENOMEM`, and with an
    /// error of sysfs.
    pub fn new(registry: &Arc<Registry>) -> Result<Self> {
        Ok(Self(Dir::new(Place::mm()?, crate::NAME, |place| {
            Root::new(place, registry)
        })?))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Dropping the directories waits for all running store() calls. `end` makes sure that none
        // of these waits for a kdamond, or adds a directory below one that is being removed.
        self.0.admin.kdamonds.end();
    }
}

/// `damon/`, or `damon_rs/` beside the in-tree DAMON, see [`NAME`](crate::NAME).
struct Root {
    admin: Dir<Admin>,
}

impl Directory for Root {
    fn files() -> &'static [File<Self>] {
        &[]
    }
}

impl Root {
    fn new(place: Place<'_>, registry: &Arc<Registry>) -> Result<Self> {
        Ok(Self {
            admin: Dir::new(place, c"admin", |place| Admin::new(place, registry))?,
        })
    }
}

/// `damon/admin/`
struct Admin {
    kdamonds: Dir<Kdamonds>,
}

impl Directory for Admin {
    fn files() -> &'static [File<Self>] {
        &[]
    }
}

impl Admin {
    fn new(place: Place<'_>, registry: &Arc<Registry>) -> Result<Self> {
        Ok(Self {
            kdamonds: Dir::new(place, c"kdamonds", |_| {
                List::new(&Structure::new(static_lock_class!())?, registry.clone())
            })?,
        })
    }
}
