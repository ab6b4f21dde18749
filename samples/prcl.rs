// SPDX-License-Identifier: GPL-2.0

//! Proactive reclamation: pages out the memory of a process that was not accessed for five seconds.

use damon::{
    engine::{
        AccessPattern,
        Action,
        AttrsParams,
        MinMax,
        SchemeParams, //
    },
    kdamond::{
        self,
        Kdamond,
        Params,
        ANY_PAGES, //
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
    SWITCH: Prcl,
    name: "damon_sample_prcl",
    beside: "damon_rs_sample_prcl",
    description: "DAMON sample: proactive reclamation",
}

static TARGET_PID: Number<i32> = Number::new(0);

damon::parameters! {
    0o600 target_pid: Number<i32> = &TARGET_PID, "PID of the process";
    0o600 enabled: Enabled<Prcl> = &Enabled(&SWITCH), "Enable or disable reclaim";
}

struct Prcl(Arc<Kdamond>);

impl Service for Prcl {
    fn start() -> Result<Self> {
        let process = Pid::find(TARGET_PID.get()).ok_or(EINVAL)?;
        let cold = AccessPattern {
            nr_accesses: MinMax { min: 0, max: 0 },
            // 50 aggregation intervals of 100 ms are five seconds.
            age: MinMax {
                min: 50,
                max: u32::MAX,
            },
            ..ANY_PAGES
        };
        let params = Params::new(OpsId::Vaddr, AttrsParams::default())?
            .target(Space::Process(process), &[])?
            .scheme(SchemeParams::new(cold, Action::Pageout))?;
        let kdamond = kdamond::new()?;
        kdamond.start(params)?;
        Ok(Self(kdamond))
    }

    fn kdamond(&self) -> &Kdamond {
        &self.0
    }
}
