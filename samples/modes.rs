// SPDX-License-Identifier: GPL-2.0

//! Separate monitoring results for the foreground and the background mode of a process.
//!
//! An application accesses different memory in the foreground than in the background. This module
//! runs two kdamonds for the same process and always pauses one of them. A paused kdamond keeps its
//! results, so it continues with the results of its mode.
//!
//! Write `N` to the parameter `foreground` when the application leaves the foreground, and `Y` when
//! it returns.

use damon::{
    engine::AttrsParams,
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
    str::kstrtobool,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: Modes,
    name: "damon_sample_modes",
    beside: "damon_rs_sample_modes",
    description: "DAMON sample: separate monitoring results for each mode of a process",
}

static TARGET_PID: Number<i32> = Number::new(0);

damon::parameters! {
    0o600 target_pid: Number<i32> = &TARGET_PID, "PID of the process";
    0o600 enabled: Enabled<Modes> = &Enabled(&SWITCH), "Enable or disable monitoring";
    0o600 foreground: Foreground = &Foreground, "Whether the process is in the foreground, initially Y";
}

struct Modes {
    foreground: Arc<Kdamond>,
    background: Arc<Kdamond>,
}

impl Service for Modes {
    fn start() -> Result<Self> {
        Ok(Self {
            foreground: start(false)?,
            background: start(true)?,
        })
    }

    fn kdamond(&self) -> &Kdamond {
        &self.foreground
    }
}

/// Starts a kdamond for one mode, paused if `pause` is set.
fn start(pause: bool) -> Result<Arc<Kdamond>> {
    let process = Pid::find(TARGET_PID.get()).ok_or(EINVAL)?;
    let mut params =
        Params::new(OpsId::Vaddr, AttrsParams::default())?.target(Space::Process(process), &[])?;
    params.pause = pause;
    let kdamond = kdamond::new()?;
    kdamond.start(params)?;
    Ok(kdamond)
}

/// The parameter `foreground`: whether the process is in the foreground.
struct Foreground;

impl Parameter for Foreground {
    fn store(&self, text: &CStr, held: &mut Held) -> Result {
        let foreground = kstrtobool(text)?;
        let modes = SWITCH.service(held).ok_or(EINVAL)?;
        // Pauses one kdamond before the other continues, so that neither samples in both modes.
        let (rest, work) = if foreground {
            (&modes.background, &modes.foreground)
        } else {
            (&modes.foreground, &modes.background)
        };
        rest.call(|context| context.set_paused(true))?;
        work.call(|context| context.set_paused(false))
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        let modes = SWITCH.service(held).ok_or(EINVAL)?;
        page.flag(!modes.foreground.call(|context| context.paused())?);
        Ok(())
    }
}
