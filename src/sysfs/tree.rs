// SPDX-License-Identifier: GPL-2.0

//! The top of the tree.

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

/// The whole tree. Dropping it stops all kdamonds and removes everything.
pub struct Tree(Dir<Root>);

impl Tree {
    /// Makes the tree, without a kdamond.
    pub fn new(registry: &Arc<Registry>) -> Result<Self> {
        Ok(Self(Dir::new(Place::mm()?, crate::NAME, |place| {
            Root::new(place, registry)
        })?))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Removing the directories waits for all stores. None of them may be waiting for a kdamond,
        // and none may be adding directories to what is being removed.
        self.0.admin.kdamonds.end();
    }
}

/// `damon/`
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
