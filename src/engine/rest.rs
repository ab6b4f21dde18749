// SPDX-License-Identifier: GPL-2.0

//! Times without monitoring: pauses, and times in which the watermarks deactivate all schemes.

use super::{
    attrs::Micros,
    context::Context,
    metrics::SystemMetrics,
    operations::Operations,
    watermarks::WatermarkMetric, //
};
use kernel::prelude::*;

/// Time after which a paused context is to check whether its targets still exist.
const PAUSED_CHECK: Micros = Micros::from_secs(1);

impl<O: Operations> Context<O> {
    /// Returns the time until the next check if monitoring rests: the context is paused, or the
    /// watermarks of all its schemes deactivate them. `None`: monitoring goes on.
    ///
    /// During a pause the clock of the quotas is stopped: neither time nor memory pressure counts.
    pub fn rests(&mut self, metrics: &dyn SystemMetrics) -> Option<Micros> {
        if self.settings.pause {
            self.progress.pauses.begin(metrics);
            return Some(PAUSED_CHECK);
        }
        self.progress.pauses.end(metrics);
        self.check_watermarks(metrics)
    }

    /// Activates and deactivates each scheme according to its watermarks.
    ///
    /// If all schemes are inactive, monitoring stops too. In that case this returns the time until
    /// the next check, which is the smallest interval of all watermarks. Returns `None` if a scheme
    /// is active or if an interval is zero. Corresponds to `kdamond_wait_activation()`.
    pub(crate) fn check_watermarks(&mut self, metrics: &dyn SystemMetrics) -> Option<Micros> {
        let mut shortest: Option<Micros> = None;
        for scheme in &mut self.schemes {
            let marks = scheme.params.watermarks;
            let value = match marks.metric {
                WatermarkMetric::None => None,
                WatermarkMetric::FreeMemRate => metrics.free_mem_permil().ok().map(u64::from),
            };
            scheme.state.active = marks.activate(scheme.state.active, value);
            let wait = if scheme.state.active {
                Micros(0)
            } else {
                marks.interval
            };
            shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
        }
        shortest.filter(|wait| wait.0 != 0)
    }
}

#[kunit_tests(damon_rs_rest)]
mod tests {
    use super::{
        super::{
            fake::{
                params,
                with_scheme,
                FakeMetrics, //
            },
            pattern::{
                AccessPattern,
                Action, //
            },
            scheme::SchemeParams,
            watermarks::{
                tests::MARKS,
                Watermarks, //
            }, //
        },
        *, //
    };

    fn scheme(watermarks: Watermarks) -> SchemeParams {
        SchemeParams {
            watermarks,
            ..SchemeParams::new(AccessPattern::ANY, Action::Stat)
        }
    }

    #[test]
    fn monitoring_rests_if_all_schemes_do() -> Result {
        let metrics = FakeMetrics::default();
        let mut none = Context::new(params(&[], 1)?, 0)?;
        assert_eq!(none.check_watermarks(&metrics), None);
        let lower = Watermarks {
            interval: Micros(50),
            high: 200,
            mid: 200,
            low: 0,
            ..MARKS
        };
        let both = with_scheme(params(&[], 1)?, scheme(MARKS))?;
        let both = with_scheme(both, scheme(lower))?;
        let mut context = Context::new(both, 0)?;
        let mut at = |permil| {
            metrics.free_mem_permil.set(permil);
            context.check_watermarks(&metrics)
        };
        assert_eq!(at(Some(600)), Some(Micros(50)));
        assert_eq!(at(Some(150)), None);
        // The first scheme stays active up to its high watermark.
        assert_eq!(at(Some(400)), None);
        assert_eq!(at(Some(600)), Some(Micros(50)));
        assert_eq!(at(Some(400)), Some(Micros(50)));
        assert_eq!(at(None), None);
        Ok(())
    }

    #[test]
    fn a_scheme_without_an_interval_rests_alone() -> Result {
        let metrics = FakeMetrics::default();
        metrics.free_mem_permil.set(Some(1000));
        let marks = Watermarks {
            interval: Micros(0),
            ..MARKS
        };
        let mut context = Context::new(with_scheme(params(&[], 1)?, scheme(marks))?, 0)?;
        assert_eq!(context.check_watermarks(&metrics), None);
        assert!(context.schemes().iter().all(|scheme| !scheme.is_active()));
        Ok(())
    }
}
