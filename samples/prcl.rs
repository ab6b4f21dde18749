// SPDX-License-Identifier: GPL-2.0

//! Proactive reclamation: pages out what a process has not accessed for five seconds.

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
        Params, //
    },
    mm::Pid,
    ops::{
        OpsId,
        Space, //
    },
    sysfs::parameters::{
        Enabled,
        Loaded,
        Number,
        Service,
        Switch, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

damon::damon_module! {
    type: Module,
    name: "damon_sample_prcl",
    beside: "damon_rs_sample_prcl",
    description: "DAMON sample: proactive reclamation",
}

static TARGET_PID: Number<i32> = Number::new(0);
static SWITCH: Switch<Prcl> = Switch::new(&THIS_MODULE);

damon::parameters! {
    0o600 target_pid: Number<i32> = &TARGET_PID, "the process";
    0o600 enabled: Enabled<Prcl> = &Enabled(&SWITCH), "whether its memory is reclaimed";
}

struct Prcl(Arc<Kdamond>);

impl Service for Prcl {
    fn start() -> Result<Self> {
        let process = Pid::find(TARGET_PID.value()).ok_or(EINVAL)?;
        let cold = AccessPattern {
            sz: MinMax {
                // CAST: A page has less than 2^64 bytes.
                min: PAGE_SIZE as u64,
                max: u64::MAX,
            },
            nr_accesses: MinMax { min: 0, max: 0 },
            // Aggregation intervals of 100 ms.
            age: MinMax {
                min: 50,
                max: u32::MAX,
            },
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

struct Module {
    _loaded: Loaded<Prcl>,
}

impl kernel::Module for Module {
    fn init(_: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _loaded: SWITCH.load()?,
        })
    }
}
