// SPDX-License-Identifier: GPL-2.0

//! Replacement of `migrate.rs` for kernels without `CONFIG_MIGRATION`.

use core::convert::Infallible;

use kernel::bindings as c;

use super::{
    node::Node,
    Folio, //
};

/// Returns whether the kernel functions for migration were found.
pub(crate) fn can_migrate() -> bool {
    false
}

/// Never exists.
pub(crate) struct MigrationList(Infallible);

impl MigrationList {
    pub(crate) fn new(_: Node) -> Option<Self> {
        None
    }

    pub(crate) fn add(&mut self, _: &Folio) {
        match self.0 {}
    }

    /// # Safety
    ///
    /// Never called, because no `MigrationList` exists.
    pub(super) unsafe fn add_ptr(&mut self, _: *mut c::folio) {
        match self.0 {}
    }

    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn migrate(&mut self) -> u64 {
        match self.0 {}
    }
}
