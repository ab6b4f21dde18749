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
        Operations,
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
    },
    panic_free, //
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
    /// operations find. Fails with `EINVAL` if the operations do not monitor such memory, and with
    /// `ENOMEM`.
    pub fn target(mut self, space: Space, ranges: &[AddrRange]) -> Result<Self> {
        if !self.ops.monitors(&space) {
            return Err(EINVAL).because("a target is not of the address space of the operations");
        }
        let mut regions = KVec::with_capacity(ranges.len(), GFP_KERNEL)?;
        for range in ranges {
            regions.push_within_capacity(*range)?;
        }
        let target = TargetParams {
            space,
            obsolete: false,
            regions,
        };
        panic_free::push(&mut self.targets, target, 0)?;
        Ok(self)
    }

    /// Adds a target with the physical addresses from the start to the end of the system RAM,
    /// including gaps. Fails with `ENOMEM`, and with `EINVAL` if the addresses of the system RAM
    /// are not available or the operations do not monitor physical memory.
    pub fn system_ram(self) -> Result<Self> {
        let (start, end) = system_ram().ok_or(EINVAL)?;
        self.target(Space::Physical, &[AddrRange { start, end }])
    }

    /// Adds a scheme. Fails with `ENOMEM`.
    pub fn scheme(mut self, scheme: SchemeParams) -> Result<Self> {
        panic_free::push(&mut self.schemes, scheme, 0)?;
        Ok(self)
    }
}

/// Validates attributes. Fails with `EINVAL`, and writes the reason to the debug log.
pub(crate) fn validated(attrs: AttrsParams) -> Result<Attrs> {
    Attrs::try_from(attrs).because(attrs.conflict().unwrap_or_default())
}

#[kunit_tests(damon_rs_params)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_of_the_address_space_of_the_operations() -> Result {
        let whole = [AddrRange {
            start: 0,
            end: 1 << 30,
        }];
        for ops in [OpsId::Vaddr, OpsId::Fvaddr, OpsId::Custom] {
            let params = Params::new(ops, AttrsParams::default())?;
            let refused = params.target(Space::Physical, &whole);
            assert_eq!(refused.err(), Some(EINVAL));
        }
        if OpsId::available().any(|ops| ops == OpsId::Paddr) {
            let params = Params::new(OpsId::Paddr, AttrsParams::default())?;
            assert_eq!(params.target(Space::Physical, &whole)?.targets.len(), 1);
        }
        Ok(())
    }

    #[test]
    fn a_context_has_no_target_of_another_address_space() -> Result {
        let mut params = Params::new(OpsId::Vaddr, AttrsParams::default())?;
        let target = TargetParams {
            space: Space::Physical,
            obsolete: false,
            regions: KVec::new(),
        };
        panic_free::push(&mut params.targets, target, 0)?;
        assert_eq!(Context::new(params, 0).err(), Some(EINVAL));
        Ok(())
    }
}
