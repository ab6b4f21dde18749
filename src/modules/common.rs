// SPDX-License-Identifier: GPL-2.0

//! Parameters that DAMON_RECLAIM and DAMON_LRU_SORT have in common, and their conversion to
//! parameters of a kdamond.

use damon::{
    engine::{
        AccessPattern,
        AddrRange,
        AttrsParams,
        IntervalsGoal,
        Micros,
        MinMax,
        Stat,
        WatermarkMetric,
        Watermarks, //
    },
    kdamond::{
        Params,
        ANY_PAGES, //
    },
    mm::system_ram,
    ops::{
        OpsId,
        Space, //
    },
    service::{
        Flag,
        Held,
        Number,
        Page,
        Parameter, //
    },
};
use kernel::prelude::*;

/// The monitoring parameters. Intervals are in microseconds, addresses in units of `addr_unit`
/// bytes.
pub(crate) struct Monitoring {
    pub(crate) sample_interval: Number<u64>,
    pub(crate) aggr_interval: Number<u64>,
    pub(crate) min_nr_regions: Number<u64>,
    pub(crate) max_nr_regions: Number<u64>,
    pub(crate) autotune: Flag,
    pub(crate) start: Number<u64>,
    pub(crate) end: Number<u64>,
    pub(crate) addr_unit: AddrUnit,
}

impl Monitoring {
    pub(crate) const fn new() -> Self {
        Self {
            sample_interval: Number::new(5_000),
            aggr_interval: Number::new(100_000),
            min_nr_regions: Number::new(10),
            max_nr_regions: Number::new(1000),
            autotune: Flag::new(false),
            start: Number::new(0),
            end: Number::new(0),
            addr_unit: AddrUnit(Number::new(1)),
        }
    }

    /// Returns the monitoring attributes. If auto-tuning of the intervals is enabled, it starts
    /// from the default intervals, and the intervals of the parameters are ignored.
    pub(crate) fn attrs(&self) -> AttrsParams {
        let attrs = AttrsParams {
            sample: Micros(self.sample_interval.get()),
            aggr: Micros(self.aggr_interval.get()),
            ops_update: Micros(0),
            goal: IntervalsGoal::default(),
            min_nr_regions: self.min_nr_regions.get(),
            max_nr_regions: self.max_nr_regions.get(),
        };
        if !self.autotune.get() {
            return attrs;
        }
        AttrsParams {
            sample: Micros::from_millis(5),
            aggr: Micros::from_millis(100),
            goal: IntervalsGoal {
                access_bp: 40,
                aggrs: 3,
                min_sample_us: Micros::from_millis(5),
                max_sample_us: Micros::from_secs(10),
            },
            ..attrs
        }
    }

    /// Returns the parameters of a kdamond with the memory from `start` to `end` as its target. If
    /// both are zero, the range of all System RAM is used and stored in `start` and `end`.
    ///
    /// Sleeps. Fails with `EINVAL` if `end` is below `start`, the attributes conflict, the module
    /// cannot monitor physical memory on this kernel, or cannot find the range of System RAM. Fails
    /// with `ENOMEM`.
    pub(crate) fn params(&self) -> Result<Params> {
        let (start, end) = (self.start.get(), self.end.get());
        if start > end {
            return Err(EINVAL);
        }
        let unit = self.addr_unit.0.get();
        let params = Params::in_units(OpsId::Paddr, unit, self.attrs())?;
        if (start, end) == (0, 0) {
            let (start, end) = system_ram().ok_or(EINVAL)?;
            let units = |bytes: u64| bytes.checked_div(unit).ok_or(EINVAL);
            self.start.set(units(start)?);
            self.end.set(units(end)?);
        }
        let range = AddrRange {
            start: self.start.get(),
            end: self.end.get(),
        };
        params.target(Space::Physical, &[range])
    }

    /// Converts a size from bytes to units, rounded down, but not to zero.
    pub(crate) fn units(&self, bytes: u64) -> u64 {
        let units = bytes.checked_div(self.addr_unit.0.get());
        units.unwrap_or(bytes).max(bytes.min(1))
    }

    /// Returns the access pattern of all regions of at least a page.
    pub(crate) fn any_pages(&self) -> AccessPattern {
        AccessPattern {
            sz: MinMax {
                min: self.units(ANY_PAGES.sz.min),
                max: u64::MAX,
            },
            ..AccessPattern::ANY
        }
    }
}

/// The parameter `addr_unit`: bytes per unit of addresses. A store of zero fails with `EINVAL`.
pub(crate) struct AddrUnit(Number<u64>);

impl Parameter for AddrUnit {
    fn store(&self, text: &CStr, held: &mut Held) -> Result {
        let unit = Number::<u64>::new(0);
        unit.store(text, held)?;
        if unit.get() == 0 {
            return Err(EINVAL);
        }
        self.0.set(unit.get());
        Ok(())
    }

    fn show(&self, page: &mut Page<'_>, held: &mut Held) -> Result {
        self.0.show(page, held)
    }
}

/// The watermark parameters: the check interval in microseconds, and the marks in permil of free
/// memory.
pub(crate) struct Marks {
    pub(crate) interval: Number<u64>,
    pub(crate) high: Number<u64>,
    pub(crate) mid: Number<u64>,
    pub(crate) low: Number<u64>,
}

impl Marks {
    pub(crate) const fn new(high: u64, mid: u64, low: u64) -> Self {
        Self {
            interval: Number::new(5_000_000),
            high: Number::new(high),
            mid: Number::new(mid),
            low: Number::new(low),
        }
    }

    /// Returns the watermarks of a scheme.
    pub(crate) fn watermarks(&self) -> Watermarks {
        Watermarks {
            metric: WatermarkMetric::FreeMemRate,
            interval: Micros(self.interval.get()),
            high: self.high.get(),
            mid: self.mid.get(),
            low: self.low.get(),
        }
    }
}

/// Defines the parameters that both modules have: those of the static [`Monitoring`] and of the
/// static [`Marks`].
macro_rules! common_parameters {
    ($monitoring:ident, $marks:ident) => {
        ::damon::parameters! {
            0o600 autotune_monitoring_intervals: ::damon::service::Flag = &$monitoring.autotune,
                "Auto-tune the monitoring intervals";
            0o600 wmarks_interval: ::damon::service::Number<u64> = &$marks.interval,
                "Interval of watermark checks in microseconds";
            0o600 wmarks_high: ::damon::service::Number<u64> = &$marks.high,
                "High watermark of free memory in permil: inactive above it";
            0o600 wmarks_mid: ::damon::service::Number<u64> = &$marks.mid,
                "Mid watermark of free memory in permil: activated below it";
            0o600 wmarks_low: ::damon::service::Number<u64> = &$marks.low,
                "Low watermark of free memory in permil: inactive below it";
            0o600 sample_interval: ::damon::service::Number<u64> = &$monitoring.sample_interval,
                "Sampling interval in microseconds";
            0o600 aggr_interval: ::damon::service::Number<u64> = &$monitoring.aggr_interval,
                "Aggregation interval in microseconds";
            0o600 min_nr_regions: ::damon::service::Number<u64> = &$monitoring.min_nr_regions,
                "Minimum number of regions";
            0o600 max_nr_regions: ::damon::service::Number<u64> = &$monitoring.max_nr_regions,
                "Maximum number of regions";
            0o600 monitor_region_start: ::damon::service::Number<u64> = &$monitoring.start,
                "Start of the monitored physical address range";
            0o600 monitor_region_end: ::damon::service::Number<u64> = &$monitoring.end,
                "End of that range; both 0 for all System RAM";
            0o600 addr_unit: $crate::common::AddrUnit = &$monitoring.addr_unit,
                "Bytes per unit of addresses";
        }
    };
}
pub(crate) use common_parameters;

/// A statistic since the module was loaded, over all kdamonds.
pub(crate) struct Counter {
    /// The read-only parameter.
    pub(crate) total: Number<u64>,
    /// The part of the total that the scheme of the running kdamond has counted, in its own unit.
    counted: Number<u64>,
}

impl Counter {
    const fn new() -> Self {
        Self {
            total: Number::new(0),
            counted: Number::new(0),
        }
    }

    /// Adds what the scheme has counted since the last call. `unit` is the value of one.
    fn update(&self, counted: u64, unit: u64) {
        let more = counted.saturating_sub(self.counted.get());
        let total = self.total.get();
        self.total
            .set(total.saturating_add(more.saturating_mul(unit)));
        self.counted.set(counted);
    }
}

/// The statistics of a scheme. Sizes are in bytes.
pub(crate) struct Done {
    pub(crate) nr_tried: Counter,
    pub(crate) sz_tried: Counter,
    pub(crate) nr_applied: Counter,
    pub(crate) sz_applied: Counter,
    pub(crate) qt_exceeds: Counter,
    /// Bytes per unit of the sizes that are to be added next.
    unit: Number<u64>,
}

impl Done {
    pub(crate) const fn new() -> Self {
        Self {
            nr_tried: Counter::new(),
            sz_tried: Counter::new(),
            nr_applied: Counter::new(),
            sz_applied: Counter::new(),
            qt_exceeds: Counter::new(),
            unit: Number::new(1),
        }
    }

    /// Prepares for the statistics of a new scheme, which begin at zero. No kdamond may run.
    pub(crate) fn begin(&self, monitoring: &Monitoring) {
        self.unit.set(monitoring.addr_unit.0.get());
        for counter in [
            &self.nr_tried,
            &self.sz_tried,
            &self.nr_applied,
            &self.sz_applied,
            &self.qt_exceeds,
        ] {
            counter.counted.set(0);
        }
    }

    /// Adds what the scheme has done since the last call. To be called on the kdamond only, at
    /// least before each sampling tick. Acquires no lock.
    ///
    /// `unit` is the current `addr_unit`. A commit may have changed it since the last call, but the
    /// scheme was not applied since then, so the sizes are still in the unit of the last call.
    pub(crate) fn update(&self, stat: &Stat, unit: u64) {
        let before = self.unit.get();
        self.nr_tried.update(stat.nr_tried, 1);
        self.sz_tried.update(stat.sz_tried, before);
        self.nr_applied.update(stat.nr_applied, 1);
        self.sz_applied.update(stat.sz_applied, before);
        self.qt_exceeds.update(stat.qt_exceeds, 1);
        self.unit.set(unit);
    }
}

/// Returns a list of the items that are `Some`. Fails with `ENOMEM`.
pub(crate) fn list<T, const N: usize>(items: [Option<T>; N]) -> Result<KVec<T>> {
    let mut list = KVec::with_capacity(N, GFP_KERNEL)?;
    for item in items.into_iter().flatten() {
        list.push_within_capacity(item)?;
    }
    Ok(list)
}
