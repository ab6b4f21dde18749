// SPDX-License-Identifier: GPL-2.0

//! Conversion of a region's results to other intervals. Corresponds to
//! `damon_update_monitoring_result()`.

use super::{
    super::{
        super::{
            attrs::Attrs,
            num::{
                mul_div,
                narrow, //
            }, //
        },
        rate::SampleWindow, //
    },
    ProbeHits,
    Region,
    MAX_PROBES, //
};
use kernel::prelude::*;

impl Region {
    /// Converts the results of the last complete aggregation window from the intervals `old` to
    /// `new`. Resets the counts of the current window, which is restarted.
    pub(crate) fn rescale(&mut self, old: &Attrs, new: &Attrs) {
        let [old_max, new_max] = [old, new].map(|attrs| u64::from(attrs.max_nr_accesses()));
        let convert = |samples: u32| narrow(mul_div(u64::from(samples), new_max, old_max));
        let convert_hits =
            |hits: ProbeHits| hits.map(|n| u8::try_from(convert(n.into())).unwrap_or(u8::MAX));
        self.last_nr_accesses = convert(self.last_nr_accesses);
        self.last_probe_hits = convert_hits(self.last_probe_hits);
        self.nr_accesses = 0;
        self.probe_hits = [0; MAX_PROBES];
        self.age = narrow(mul_div(u64::from(self.age), old.aggr().0, new.aggr().0));
    }

    /// Limits the counts to the number of samples in `window`.
    pub(crate) fn limit_rate(&mut self, window: &SampleWindow) {
        let max = window.samples();
        self.nr_accesses = self.nr_accesses.min(max);
        self.last_nr_accesses = self.last_nr_accesses.min(max);
        let max_hits = u8::try_from(max).unwrap_or(u8::MAX);
        self.probe_hits = self.probe_hits.map(|hits| hits.min(max_hits));
        self.last_probe_hits = self.last_probe_hits.map(|hits| hits.min(max_hits));
    }
}

#[kunit_tests(damon_rs_region_rescale)]
mod tests {
    use super::{
        super::{
            super::super::attrs::{
                AttrsParams,
                Micros, //
            },
            tests::region, //
        },
        *, //
    };

    fn intervals(sample: u64, aggr: u64) -> Result<Attrs> {
        Attrs::try_from(AttrsParams {
            sample: Micros(sample),
            aggr: Micros(aggr),
            ..AttrsParams::default()
        })
    }

    #[test]
    fn rescales_results_to_new_intervals() -> Result {
        let old = intervals(10, 1000)?;
        let mut region = region(3, 7, 0, 15, 20)?;
        region.rescale(&old, &intervals(100, 10_000)?);
        assert_eq!(region.last_nr_accesses(), 15);
        assert_eq!(region.age(), 2);
        region.rescale(&old, &intervals(1, 1000)?);
        assert_eq!(region.last_nr_accesses(), 150);
        assert_eq!(region.age(), 2);
        region.rescale(&old, &intervals(1, 100)?);
        assert_eq!(region.last_nr_accesses(), 150);
        assert_eq!(region.age(), 20);
        Ok(())
    }

    #[test]
    fn rescaling_drops_the_counts_of_the_current_window() -> Result {
        let mut region = region(3, 7, 4, 50, 20)?;
        region.rescale(&intervals(10, 1000)?, &intervals(100, 1000)?);
        assert_eq!(region.nr_accesses(), 0);
        assert_eq!(region.last_nr_accesses(), 5);
        assert_eq!(region.age(), 20);
        Ok(())
    }

    #[test]
    fn a_ratio_in_a_huge_window_is_zero() -> Result {
        let huge = intervals(10, (1 << 32) * 10)?;
        let mut region = region(3, 7, 0, 123, 0)?;
        region.rescale(&huge, &intervals(10, 1000)?);
        assert_eq!(region.last_nr_accesses(), 0);
        Ok(())
    }

    #[test]
    fn a_ratio_is_kept_where_the_samples_are() -> Result {
        let mut region = region(3, 7, 1, 2, 0)?;
        region.last_probe_hits = [1, 2, 3, 0];
        region.rescale(&intervals(10, 30)?, &intervals(20, 60)?);
        assert_eq!(region.last_nr_accesses(), 2);
        assert_eq!(*region.last_probe_hits(), [1, 2, 3, 0]);
        Ok(())
    }

    #[test]
    fn rescales_hits() -> Result {
        let mut region = region(3, 7, 0, 0, 0)?;
        region.probe_hits = [10, 2, 4, 0];
        region.last_probe_hits = [20, 1, 0, 255];
        region.rescale(&intervals(5, 100)?, &intervals(10, 100)?);
        assert_eq!(*region.probe_hits(), [0; 4]);
        assert_eq!(*region.last_probe_hits(), [10, 0, 0, 127]);
        region.rescale(&intervals(5, 100)?, &intervals(1, 100)?);
        assert_eq!(*region.last_probe_hits(), [50, 0, 0, 255]);
        Ok(())
    }
}
