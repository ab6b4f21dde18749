// SPDX-License-Identifier: GPL-2.0

//! Address spaces that other modules provide.

use crate::{
    cast::PAGE_SIZE,
    engine::{
        Action,
        AddrRange,
        Applied,
        Attempt,
        Operations,
        Pass,
        Region, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// An address space that a module provides, for example the memory of a device. It is the
/// [`Space`](super::Space) of a target.
///
/// ```
/// # use damon::{
/// #     engine::{AddrRange, AttrsParams, Pass, Region},
/// #     kdamond::{self, Params},
/// #     ops::{AddressSpace, OpsId, Space},
/// # };
/// # use kernel::sync::Arc;
/// /// The first gigabyte is accessed all the time, the second never.
/// struct Halves;
///
/// impl AddressSpace for Halves {
///     fn sample(&self, regions: &mut [Region], pass: &mut Pass<'_>) {
///         for region in regions {
///             if pass.checks() {
///                 if let Some(addr) = region.sample() {
///                     pass.record(region, addr < 1 << 30);
///                 }
///             }
///             if pass.prepares() {
///                 pass.pick(region);
///             }
///         }
///     }
/// }
///
/// let whole = AddrRange { start: 0, end: 2 << 30 };
/// let params = Params::new(OpsId::Custom, AttrsParams::default())?
///     .target(Space::Custom(Arc::new(Halves, GFP_KERNEL)?), &[whole])?;
/// let kdamond = kdamond::new()?;
/// kdamond.start(params)?;
/// assert!(kdamond.call(|context| context.nr_regions())? >= 10);
/// # Ok::<(), Error>(())
/// ```
///
/// All methods are called on the thread of the kdamond, and may sleep.
///
/// A kdamond holds no reference to the module that implements this trait. Before that module is
/// unloaded it has to stop and drop the kdamond, which waits for the end of its thread. No type
/// enforces this: if a handle of the kdamond is leaked, its thread can outlive the module.
pub trait AddressSpace: Send + Sync {
    /// Returns the ranges to monitor now, or `None` to keep the ranges that the target was created
    /// with. Called as [`Operations::ranges`].
    fn ranges(&self) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    /// Returns an identifier of the memory: by default the address of `self`. Two spaces in which
    /// the preparation of one sample may hide an access from the other must have the same.
    fn memory(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Checks and prepares the samples of all regions. For each region, in this order: reports to
    /// [`Pass::record`] whether the last sample was accessed, if there is one ([`Region::sample`])
    /// and if [`Pass::checks`]; prepares a new sample at the address that [`Pass::pick`] returns,
    /// if [`Pass::prepares`].
    ///
    /// See [`Operations::sample`] for more.
    fn sample(&self, regions: &mut [Region], pass: &mut Pass<'_>);

    /// Returns whether there is still anything to monitor. The kdamond ends if no target has
    /// anything.
    fn is_valid(&self) -> bool {
        true
    }

    /// Applies the action of a scheme to a region, and returns how much of it. Does nothing by
    /// default.
    fn apply(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let _ = (region, attempt);
        Applied::default()
    }
}

/// Monitoring operations for address spaces that other modules provide.
pub struct Custom {
    /// The size of the address unit in bytes, not zero.
    addr_unit: u64,
}

impl Custom {
    /// Fails with `EINVAL` if `addr_unit` is zero.
    pub(super) fn new(addr_unit: u64) -> Result<Self> {
        if addr_unit == 0 {
            return Err(EINVAL);
        }
        Ok(Self { addr_unit })
    }

    /// Returns the size of the address unit in bytes.
    pub(super) fn addr_unit(&self) -> u64 {
        self.addr_unit
    }
}

impl Operations for Custom {
    type Space = Arc<dyn AddressSpace>;

    fn min_region_sz(&self) -> u64 {
        let page = PAGE_SIZE;
        page.checked_div(self.addr_unit).unwrap_or(page).max(1)
    }

    fn ranges(&mut self, space: &Self::Space) -> Result<Option<KVec<AddrRange>>> {
        space.ranges()
    }

    fn memory(&self, space: &Self::Space) -> Option<usize> {
        Some(space.memory())
    }

    fn sample(&mut self, space: &Self::Space, regions: &mut [Region], pass: &mut Pass<'_>) {
        space.sample(regions, pass);
    }

    fn is_valid(&self, space: &Self::Space) -> bool {
        space.is_valid()
    }

    fn supports(&self, _: Action) -> bool {
        true
    }

    fn apply(&mut self, space: &Self::Space, region: &Region, attempt: Attempt<'_>) -> Applied {
        space.apply(region, attempt)
    }
}
