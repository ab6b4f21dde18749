// SPDX-License-Identifier: GPL-2.0

//! Parameters of a context, put together one by one.

use crate::{
    engine::{
        self,
        AccessPattern,
        AddrRange,
        Attrs,
        AttrsParams,
        MinMax,
        Probes,
        SchemeParams,
        TargetParams, //
    },
    glue::log::Because,
    mm::system_ram,
    ops::{
        AnyOps,
        OpsId,
        Space, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The context of a kdamond.
pub type Context = engine::Context<AnyOps>;

/// What a context is made of, or changed to.
pub type Params = engine::Params<AnyOps>;

/// Whatever is a page or more, and however it is accessed.
pub const ANY_PAGES: AccessPattern = AccessPattern {
    sz: MinMax {
        // CAST: A page has less than 2^64 bytes.
        min: PAGE_SIZE as u64,
        max: u64::MAX,
    },
    nr_accesses: MinMax {
        min: 0,
        max: u32::MAX,
    },
    age: MinMax {
        min: 0,
        max: u32::MAX,
    },
};

impl Params {
    /// Parameters without targets and schemes. Addresses are in bytes.
    ///
    /// Fails with `EINVAL` if the attributes do not fit together, or the kernel does not let us have
    /// these operations.
    pub fn new(ops: OpsId, attrs: AttrsParams) -> Result<Self> {
        Self::in_units(ops, 1, attrs)
    }

    /// As [`Self::new`], with physical addresses, or those of a module's own space, in units of
    /// `addr_unit` bytes. Fails with `EINVAL` if that is zero, too.
    pub fn in_units(ops: OpsId, addr_unit: u64, attrs: AttrsParams) -> Result<Self> {
        Ok(Self {
            ops: AnyOps::new(ops, addr_unit)?,
            attrs: fitting(attrs)?,
            probes: Probes::default(),
            pause: false,
            targets: KVec::new(),
            schemes: KVec::new(),
        })
    }

    /// Adds a target: what of `space` is in `ranges`, or without any, all that the operations find.
    /// Fails with `ENOMEM`.
    pub fn target(mut self, space: Space, ranges: &[AddrRange]) -> Result<Self> {
        let mut regions = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
        for range in ranges {
            regions.push_within_capacity(*range)?;
        }
        let target = TargetParams {
            space,
            obsolete: false,
            regions,
        };
        self.targets = with(self.targets, target)?;
        Ok(self)
    }

    /// Adds the physical addresses of all memory, with what is in between, as a target. Fails with
    /// `ENOMEM`, and with `EINVAL` if it cannot be found out where memory is.
    pub fn system_ram(self) -> Result<Self> {
        let (start, end) = system_ram().ok_or(EINVAL)?;
        self.target(Space::Physical, &[AddrRange { start, end }])
    }

    /// Adds a scheme. Fails with `ENOMEM`.
    pub fn scheme(mut self, scheme: SchemeParams) -> Result<Self> {
        self.schemes = with(self.schemes, scheme)?;
        Ok(self)
    }
}

/// Attributes that fit together. Fails with `EINVAL`, and tells the debug log what does not.
pub(crate) fn fitting(attrs: AttrsParams) -> Result<Attrs> {
    Attrs::try_from(attrs).because(attrs.misfit().unwrap_or_default())
}

/// A list with one more item at its end.
fn with<T>(list: KVec<T>, item: T) -> Result<KVec<T>> {
    let mut longer = KVec::with_capacity(list.len().saturating_add(1), GFP_KERNEL)?;
    for its in list {
        longer.push_within_capacity(its)?;
    }
    longer.push_within_capacity(item)?;
    Ok(longer)
}
