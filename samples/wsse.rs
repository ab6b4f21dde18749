// SPDX-License-Identifier: GPL-2.0

//! Working set size estimation: prints the size of the memory that a process accesses to the kernel
//! log, once a second.

use damon::{
    engine::AttrsParams,
    kdamond::{
        self,
        Context,
        Kdamond,
        Params, //
    },
    mm::Pid,
    ops::{
        OpsId,
        Space, //
    },
    service::{
        Enabled,
        Number,
        Service, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: Wsse,
    name: "damon_sample_wsse",
    beside: "damon_rs_sample_wsse",
    description: "DAMON sample: working set size estimation",
}

static TARGET_PID: Number<i32> = Number::new(0);

damon::parameters! {
    0o600 target_pid: Number<i32> = &TARGET_PID, "PID of the process";
    0o600 enabled: Enabled<Wsse> = &Enabled(&SWITCH), "Enable or disable monitoring";
}

/// The running kdamond. Dropping it stops monitoring.
struct Wsse(Arc<Kdamond>);

impl Service for Wsse {
    fn start() -> Result<Self> {
        let process = Pid::find(TARGET_PID.get()).ok_or(EINVAL)?;
        let params = Params::new(OpsId::Vaddr, AttrsParams::default())?
            .target(Space::Process(process), &[])?;
        let kdamond = kdamond::new()?;
        kdamond.start(params)?;
        kdamond.call_repeatedly(print)?;
        Ok(Self(kdamond))
    }

    fn kdamond(&self) -> &Kdamond {
        &self.0
    }
}

/// Called on the kdamond in each sampling interval. Prints the size every 200 intervals of 5 ms.
fn print(context: &mut Context) {
    const SAMPLES_A_SECOND: u64 = 200;
    if context.passed() % SAMPLES_A_SECOND != 0 {
        return;
    }
    for target in context.targets() {
        let accessed = target
            .regions()
            .iter()
            .filter(|its| its.last_nr_accesses() > 0);
        let size = accessed.fold(0u64, |sum, region| sum.saturating_add(region.size()));
        pr_info!("wss: {size}\n");
    }
}
