// SPDX-License-Identifier: GPL-2.0

//! A custom address space: the memory of an imaginary device, 1 GiB of which the device accesses
//! only the first part.
//!
//! The parameter `hot` is the size of that part in MiB, and `found` is the size that DAMON has
//! estimated from samples. The module of a real device would query the device for its accesses.

use damon::{
    engine::{
        AddrRange,
        AttrsParams,
        Pass,
        Region, //
    },
    kdamond::{
        self,
        Kdamond,
        Params, //
    },
    ops::{
        AddressSpace,
        OpsId,
        Space, //
    },
    service::{
        Enabled,
        Held,
        Number,
        Page,
        Parameter,
        Service, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: Custom,
    name: "damon_sample_custom",
    beside: "damon_rs_sample_custom",
    description: "DAMON sample: a custom address space",
}

const MIB: u64 = 1 << 20;
const MEMORY: AddrRange = AddrRange {
    start: 0,
    end: 1024 * MIB,
};

static HOT: Number<u32> = Number::new(64);

damon::parameters! {
    0o600 hot: Number<u32> = &HOT, "Size of the accessed part in MiB";
    0o600 enabled: Enabled<Custom> = &Enabled(&SWITCH), "Enable or disable monitoring";
    0o400 found: Found = &Found, "Estimated size of the accessed part in MiB";
}

/// The address space of the device.
struct Device;

impl AddressSpace for Device {
    fn sample(&self, regions: &mut [Region], pass: &mut Pass<'_>) {
        let hot = u64::from(HOT.get()).saturating_mul(MIB);
        for region in regions {
            if pass.checks() {
                if let Some(addr) = region.sample() {
                    pass.record(region, addr < hot);
                }
            }
            if pass.prepares() {
                // The module of a real device would clear the accessed state of this address.
                pass.pick(region);
            }
        }
    }
}

/// The running kdamond. Dropping it stops monitoring.
struct Custom(Arc<Kdamond>);

impl Service for Custom {
    fn start() -> Result<Self> {
        let device = Arc::new(Device, GFP_KERNEL)?;
        let params = Params::new(OpsId::Custom, AttrsParams::default())?
            .target(Space::Custom(device), &[MEMORY])?;
        let kdamond = kdamond::new()?;
        kdamond.start(params)?;
        Ok(Self(kdamond))
    }

    fn kdamond(&self) -> &Kdamond {
        &self.0
    }
}

/// The parameter `found`: the size in MiB of the memory that was accessed in more than half of the
/// samples of the last aggregation interval.
struct Found;

impl Parameter for Found {
    fn store(&self, _: &CStr, _: &mut Held) -> Result {
        Err(EPERM)
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        let custom = SWITCH.service(held).ok_or(EINVAL)?;
        let found = custom.0.call(|context| {
            let regions = context.targets().iter().flat_map(|target| target.regions());
            regions
                .filter(|region| region.last_nr_accesses() > 10)
                .fold(0u64, |sum, region| sum.saturating_add(region.size()))
        })?;
        page.number(found / MIB)
    }
}
