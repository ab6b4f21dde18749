// SPDX-License-Identifier: GPL-2.0

//! Builds the parameters of a context step by step.

use crate::{
    cast::PAGE_SIZE,
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
    prelude::*, //
};

/// The context of a kdamond.
pub type Context = engine::Context<AnyOps>;

/// The parameters of a context, for a start or a commit.
pub type Params = engine::Params<AnyOps>;

/// The access pattern of all regions of at least a page.
pub const ANY_PAGES: AccessPattern = AccessPattern {
    sz: MinMax {
        min: PAGE_SIZE,
        max: u64::MAX,
    },
    ..AccessPattern::ANY
};

impl Params {
    /// Creates parameters without targets and schemes. Addresses are in bytes.
    ///
    /// Fails with `EINVAL` if the attributes conflict or the kernel does not support these
    /// operations.
    pub fn new(ops: OpsId, attrs: AttrsParams) -> Result<Self> {
        Self::in_units(ops, 1, attrs)
    }

    /// Creates parameters like [`Self::new`], with physical addresses or those of a module's own
    /// address space in units of `addr_unit` bytes. Also fails with `EINVAL` if the unit is zero.
    pub fn in_units(ops: OpsId, addr_unit: u64, attrs: AttrsParams) -> Result<Self> {
        Ok(Self {
            ops: AnyOps::new(ops, addr_unit)?,
            attrs: validated(attrs)?,
            probes: Probes::default(),
            pause: false,
            targets: KVec::new(),
            schemes: KVec::new(),
        })
    }

    /// Adds a target: the memory of `space` in `ranges` or, without ranges, all memory that the
    /// operations find. Fails with `ENOMEM`.
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

    /// Adds a target with the physical addresses from the start to the end of the system RAM,
    /// including gaps. Fails with `ENOMEM`, and with `EINVAL` if the addresses of the system RAM
    /// are not available.
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

/// Validates attributes. Fails with `EINVAL`, and writes the reason to the debug log.
pub(crate) fn validated(attrs: AttrsParams) -> Result<Attrs> {
    Attrs::try_from(attrs).because(attrs.conflict().unwrap_or_default())
}

/// Returns the list with one more item at its end.
fn with<T>(list: KVec<T>, item: T) -> Result<KVec<T>> {
    let mut longer = KVec::with_capacity(list.len().saturating_add(1), GFP_KERNEL)?;
    for its in list {
        longer.push_within_capacity(its)?;
    }
    longer.push_within_capacity(item)?;
    Ok(longer)
}
