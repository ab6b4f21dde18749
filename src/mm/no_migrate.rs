// SPDX-License-Identifier: GPL-2.0

//! A kernel that moves no folios.

use core::convert::Infallible;

use kernel::bindings as c;

use super::{
    node::Node,
    Folio, //
};

/// Whether this kernel lets us move folios.
pub(crate) fn can_migrate() -> bool {
    false
}

/// There is none.
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
    /// None is needed.
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
