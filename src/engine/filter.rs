// SPDX-License-Identifier: GPL-2.0

//! Filters: which memory, of what matches a scheme's pattern, its action is for.
//!
//! Some kinds need no look at pages. The core layer evaluates these, and first. What they let
//! through is handed to the operations, which evaluate the others page by page. In both layers the
//! first filter that matches decides. What no filter of a layer matches is treated the other way
//! round than what its last one matches; the core layer leaves it to the operations where these
//! have filters too.

use super::{
    region::AddrRange,
    scheme::MinMax, //
};
use kernel::prelude::*;

/// What a filter looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterKind {
    /// Anonymous memory.
    Anon,
    /// Memory on an active LRU list.
    Active,
    /// Memory of the control group with this number, which no other one ever has.
    Memcg(u64),
    /// Memory that was accessed since the last look at it; the look makes it old.
    Young,
    /// Memory in folios of a size in bytes.
    HugepageSize(MinMax<u64>),
    /// Memory that is not mapped.
    Unmapped,
    /// Addresses in a range, in the unit of the operations.
    Addr(AddrRange),
    /// The target at this position.
    Target(usize),
}

impl FilterKind {
    /// Whether the operations evaluate it, as it takes a look at pages.
    pub fn is_for_ops(self) -> bool {
        match self {
            Self::Addr(_) | Self::Target(_) => false,
            Self::Anon
            | Self::Active
            | Self::Memcg(_)
            | Self::Young
            | Self::HugepageSize(_)
            | Self::Unmapped => true,
        }
    }
}

/// A rule of a scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filter {
    /// What to look for.
    pub kind: FilterKind,
    /// Whether it is for what is of the kind, or for what is not.
    pub matching: bool,
    /// Whether the action is for what the filter is for, or is to spare it.
    pub allow: bool,
}

/// The filters of a scheme.
///
/// # Invariants
///
/// `core` has those that the core layer evaluates, and `ops` those that the operations do.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Filters {
    core: KVec<Filter>,
    ops: KVec<Filter>,
}

impl Filters {
    /// The filters of `list`, in its order in each layer. Fails with `ENOMEM`.
    pub fn new(list: &[Filter]) -> Result<Self> {
        let mut core = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        let mut ops = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        for filter in list {
            let layer = match filter.kind.is_for_ops() {
                false => &mut core,
                true => &mut ops,
            };
            layer.push_within_capacity(*filter)?;
        }
        Ok(Self { core, ops })
    }

    /// Those that the core layer evaluates.
    #[inline]
    pub fn core(&self) -> &[Filter] {
        &self.core
    }

    /// Those that the operations evaluate.
    #[inline]
    pub fn ops(&self) -> &[Filter] {
        &self.ops
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.core.is_empty() && self.ops.is_empty()
    }

    /// Whether the action spares what no filter of the core layer matches. What is let through by
    /// it is up to the operations' filters, so if there are some, nothing is spared by default.
    pub fn core_default_reject(&self) -> bool {
        self.ops.is_empty() && rejects_by_default(&self.core)
    }

    /// Whether the action spares what no filter of the operations matches, unless a filter of the
    /// core layer has allowed it.
    pub fn ops_default_reject(&self) -> bool {
        rejects_by_default(&self.ops)
    }
}

/// What the last filter matches is treated one way, the rest the other.
fn rejects_by_default(filters: &[Filter]) -> bool {
    filters.last().is_some_and(|last| last.allow)
}
