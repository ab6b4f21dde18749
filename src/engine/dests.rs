// SPDX-License-Identifier: GPL-2.0

//! Where migrating actions move memory to.

use kernel::prelude::*;

/// A node to move memory to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dest {
    /// The number of the node, which may be none of the machine's.
    pub nid: u32,
    /// Its share of what is moved, compared with those of the others.
    pub weight: u32,
}

/// The nodes among which memory is distributed; if there is none, [`SchemeParams::target_nid`] is
/// where all goes.
///
/// [`SchemeParams::target_nid`]: super::SchemeParams::target_nid
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Dests(KVec<Dest>);

impl From<KVec<Dest>> for Dests {
    fn from(list: KVec<Dest>) -> Self {
        Self(list)
    }
}

impl Dests {
    /// The nodes in the order of the user.
    #[inline]
    pub fn as_slice(&self) -> &[Dest] {
        &self.0
    }
}
