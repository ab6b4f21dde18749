// SPDX-License-Identifier: GPL-2.0

//! Watermarks: when a scheme is to rest.

use super::{
    attrs::Micros,
    context::Context,
    machine::Machine,
    operations::Operations, //
};
use kernel::prelude::*;

/// What is compared with the marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WatermarkMetric {
    /// Nothing: the scheme never rests.
    #[default]
    None,
    /// Free memory of the machine, in thousandths of all.
    FreeMemRate,
}

/// Between which marks a scheme is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermarks {
    /// What is compared.
    pub metric: WatermarkMetric,
    /// Time between two looks while all schemes rest.
    pub interval: Micros,
    /// Above it the scheme rests.
    pub high: u64,
    /// Below it a resting scheme becomes active.
    pub mid: u64,
    /// Below it the scheme rests.
    pub low: u64,
}

impl Watermarks {
    /// Whether a scheme is to be active where the metric has this value; `None` if it cannot be
    /// had. Between the upper two marks it stays as it was.
    pub(crate) fn activate(&self, was_active: bool, value: Option<u64>) -> bool {
        match (self.metric, value) {
            (WatermarkMetric::None, _) | (_, None) => true,
            (WatermarkMetric::FreeMemRate, Some(value)) => {
                let rests = value > self.high || value < self.low;
                !rests && (was_active || value < self.mid)
            }
        }
    }
}

impl<O: Operations> Context<O> {
    /// Lets each scheme rest or not, as its watermarks want it.
    ///
    /// If all rest, so does monitoring: returns the time until the next look.
    pub fn check_watermarks(&mut self, machine: &dyn Machine) -> Option<Micros> {
        let mut shortest: Option<Micros> = None;
        for scheme in &mut self.schemes {
            let marks = scheme.params.watermarks;
            let value = match marks.metric {
                WatermarkMetric::None => None,
                WatermarkMetric::FreeMemRate => machine.free_mem_permil().ok().map(u64::from),
            };
            scheme.state.active = marks.activate(scheme.state.active, value);
            let wait = match scheme.state.active {
                true => Micros(0),
                false => marks.interval,
            };
            shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
        }
        shortest.filter(|wait| wait.0 != 0)
    }
}

#[kunit_tests(damon_rs_watermarks)]
mod tests {
    use super::{
        super::{
            fake::{
                params,
                with_scheme,
                Machinery, //
            },
            scheme::{
                AccessPattern,
                Action,
                MinMax,
                SchemeParams, //
            }, //
        },
        *, //
    };

    const MARKS: Watermarks = Watermarks {
        metric: WatermarkMetric::FreeMemRate,
        interval: Micros(70),
        high: 500,
        mid: 300,
        low: 100,
    };

    #[test]
    fn rests_outside_of_the_marks() {
        let active = |was, value| MARKS.activate(was, Some(value));
        for was in [false, true] {
            assert!(!active(was, 501) && !active(was, 99));
            assert!(active(was, 299) && active(was, 100));
            assert_eq!((active(was, 500), active(was, 300)), (was, was));
        }
        assert!(MARKS.activate(false, None));
        assert!(Watermarks::default().activate(false, Some(0)));
    }

    fn scheme(watermarks: Watermarks) -> SchemeParams {
        let all = MinMax {
            min: 0,
            max: u32::MAX,
        };
        let pattern = AccessPattern {
            sz: MinMax {
                min: 0,
                max: u64::MAX,
            },
            nr_accesses: all,
            age: all,
        };
        SchemeParams {
            watermarks,
            ..SchemeParams::new(pattern, Action::Stat)
        }
    }

    #[test]
    fn monitoring_rests_if_all_schemes_do() -> Result {
        let machine = Machinery::default();
        let mut none = Context::new(params(&[], 1)?, 0)?;
        assert_eq!(none.check_watermarks(&machine), None);
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
            machine.free_mem_permil.set(permil);
            context.check_watermarks(&machine)
        };
        assert_eq!(at(Some(600)), Some(Micros(50)));
        assert_eq!(at(Some(150)), None);
        // The first one stays active up to its own mark.
        assert_eq!(at(Some(400)), None);
        assert_eq!(at(Some(600)), Some(Micros(50)));
        assert_eq!(at(Some(400)), Some(Micros(50)));
        assert_eq!(at(None), None);
        Ok(())
    }

    #[test]
    fn a_scheme_without_an_interval_rests_alone() -> Result {
        let machine = Machinery::default();
        machine.free_mem_permil.set(Some(1000));
        let marks = Watermarks {
            interval: Micros(0),
            ..MARKS
        };
        let mut context = Context::new(with_scheme(params(&[], 1)?, scheme(marks))?, 0)?;
        assert_eq!(context.check_watermarks(&machine), None);
        assert!(context.schemes().iter().all(|scheme| !scheme.is_active()));
        Ok(())
    }
}
