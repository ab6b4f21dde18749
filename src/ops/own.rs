// SPDX-License-Identifier: GPL-2.0

//! Address spaces that other modules bring along.

use crate::engine::{
    Action,
    AddrRange,
    Applied,
    Attempt,
    Operations,
    Pass,
    Region, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// An address space of a module's own: the memory of a device, say, or one that is made up. It is
/// the [`Space`](super::Space) of a target.
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
/// let params = Params::new(OpsId::Own, AttrsParams::default())?
///     .target(Space::Own(Arc::new(Halves, GFP_KERNEL)?), &[whole])?;
/// let kdamond = kdamond::new()?;
/// kdamond.start(params)?;
/// assert!(kdamond.call(|context| context.nr_regions())? >= 10);
/// # Ok::<(), Error>(())
/// ```
///
/// All is called by the kdamond, which may sleep in it. That the module is not unloaded meanwhile is
/// seen to by who has made the kdamond: stopping and dropping it waits for the end of its thread.
pub trait AddressSpace: Send + Sync {
    /// The ranges that are to be monitored now, or `None` where those stand that the target was
    /// made with. Asked as [`Operations::ranges`].
    fn ranges(&self) -> Result<Option<KVec<AddrRange>>> {
        Ok(None)
    }

    /// Looks at the samples of all regions, in this order at each: tells whether the last one was
    /// accessed ([`Pass::record`]) if it has one ([`Region::sample`]) and [`Pass::checks`]; prepares
    /// a new one at the address that [`Pass::pick`] gives, if [`Pass::prepares`].
    ///
    /// See [`Operations::sample`] for more.
    fn sample(&self, regions: &mut [Region], pass: &mut Pass<'_>);

    /// Whether there still is anything to monitor. A kdamond ends without.
    fn is_valid(&self) -> bool {
        true
    }

    /// Does to a region what a scheme wants, and tells how much of it. Nothing, if not implemented.
    fn apply(&self, region: &Region, attempt: Attempt<'_>) -> Applied {
        let _ = (region, attempt);
        Applied::default()
    }
}

/// Monitors what other modules have brought.
pub struct Own {
    /// Bytes in a unit of addresses, not zero.
    addr_unit: u64,
}

impl Own {
    /// Fails with `EINVAL` for a unit of zero bytes.
    pub(super) fn new(addr_unit: u64) -> Result<Self> {
        if addr_unit == 0 {
            return Err(EINVAL);
        }
        Ok(Self { addr_unit })
    }
}

impl Operations for Own {
    type Space = Arc<dyn AddressSpace>;

    fn min_region_sz(&self) -> u64 {
        // CAST: A page has less than 2^64 bytes.
        let page = PAGE_SIZE as u64;
        page.checked_div(self.addr_unit).unwrap_or(page).max(1)
    }

    fn ranges(&mut self, space: &Self::Space) -> Result<Option<KVec<AddrRange>>> {
        space.ranges()
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
