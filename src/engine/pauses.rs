// SPDX-License-Identifier: GPL-2.0

//! Time and pressure as a context sees them: what comes while it stands still does not count.

use super::machine::Machine;

/// What the machine has counted at a moment.
#[derive(Clone, Copy)]
struct Reading {
    ns: u64,
    psi_us: u64,
}

impl Reading {
    fn of(machine: &dyn Machine) -> Self {
        Self {
            ns: machine.now_ns(),
            psi_us: machine.some_mem_psi_us().unwrap_or(0),
        }
    }
}

/// What is to be left out.
#[derive(Default)]
pub(crate) struct Pauses {
    /// What it was when the pause under way began.
    since: Option<Reading>,
    ns: u64,
    psi_us: u64,
}

impl Pauses {
    /// A pause begins, unless one is under way.
    pub(crate) fn begin(&mut self, machine: &dyn Machine) {
        if self.since.is_none() {
            self.since = Some(Reading::of(machine));
        }
    }

    /// The pause under way ends, if one is.
    pub(crate) fn end(&mut self, machine: &dyn Machine) {
        if let Some(since) = self.since.take() {
            let now = Reading::of(machine);
            let add = |sum: &mut u64, now: u64, then| {
                *sum = sum.saturating_add(now.saturating_sub(then));
            };
            add(&mut self.ns, now.ns, since.ns);
            add(&mut self.psi_us, now.psi_us, since.psi_us);
        }
    }

    /// Nanoseconds on a clock that stood still meanwhile.
    pub(crate) fn now_ns(&self, machine: &dyn Machine) -> u64 {
        machine.now_ns().saturating_sub(self.ns)
    }

    /// Microseconds of pressure, without those that came meanwhile.
    pub(crate) fn psi_us(&self, machine: &dyn Machine) -> u64 {
        let all = machine.some_mem_psi_us().unwrap_or(0);
        all.saturating_sub(self.psi_us)
    }
}
