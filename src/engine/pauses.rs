// SPDX-License-Identifier: GPL-2.0

//! Time and memory pressure without those during pauses.

use super::metrics::SystemMetrics;

/// The time and the total memory pressure at a moment.
#[derive(Clone, Copy)]
struct Reading {
    ns: u64,
    /// `None` if the kernel does not account the pressure.
    psi_us: Option<u64>,
}

impl Reading {
    fn of(metrics: &dyn SystemMetrics) -> Self {
        Self {
            ns: metrics.now_ns(),
            psi_us: metrics.some_mem_psi_us().ok(),
        }
    }
}

/// The time and memory pressure to be subtracted.
#[derive(Default)]
pub(crate) struct Pauses {
    /// The reading at the start of the current pause.
    since: Option<Reading>,
    ns: u64,
    psi_us: u64,
}

impl Pauses {
    /// Begins a pause, unless one is under way.
    pub(crate) fn begin(&mut self, metrics: &dyn SystemMetrics) {
        if self.since.is_none() {
            self.since = Some(Reading::of(metrics));
        }
    }

    /// Ends the pause, if one is under way.
    pub(crate) fn end(&mut self, metrics: &dyn SystemMetrics) {
        if let Some(since) = self.since.take() {
            let now = Reading::of(metrics);
            let add = |sum: &mut u64, now: u64, then| {
                *sum = sum.saturating_add(now.saturating_sub(then));
            };
            add(&mut self.ns, now.ns, since.ns);
            if let (Some(now), Some(since)) = (now.psi_us, since.psi_us) {
                add(&mut self.psi_us, now, since);
            }
        }
    }

    /// Returns the time in nanoseconds, without all completed pauses.
    pub(crate) fn now_ns(&self, metrics: &dyn SystemMetrics) -> u64 {
        metrics.now_ns().saturating_sub(self.ns)
    }

    /// Returns the total time in which at least one task was stalled on memory in microseconds,
    /// without all completed pauses. `None` if the kernel does not account it.
    pub(crate) fn psi_us(&self, metrics: &dyn SystemMetrics) -> Option<u64> {
        let all = metrics.some_mem_psi_us().ok()?;
        Some(all.saturating_sub(self.psi_us))
    }
}
