// SPDX-License-Identifier: GPL-2.0

//! A region: adjacent memory that is assumed to be accessed alike.

use super::{
    attrs::Attrs,
    num::{
        average,
        mul_div,
        narrow, //
    },
    rate::{
        to_bp,
        Window,
        HIT, //
    },
};
use kernel::prelude::*;

/// Number of data attributes that can be probed for.
pub(crate) const MAX_PROBES: usize = 4;

/// The addresses in `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddrRange {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
}

/// Adjacent memory that is assumed to be accessed alike, and what is known about it.
///
/// Regions lie in one array and are all touched at every sampling interval, so their size is the
/// monitor's cache footprint: at most 48 bytes.
///
/// # Invariants
///
/// - `start < end`.
/// - While `prepared`, `sampling_addr` is in the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    start: u64,
    end: u64,
    sampling_addr: u64,
    nr_accesses: u32,
    nr_accesses_bp: u32,
    last_nr_accesses: u32,
    age: u32,
    probe_hits: [u8; MAX_PROBES],
    prepared: bool,
}

const _: () = ::core::assert!(size_of::<Region>() <= 48);

impl Region {
    /// A region that nothing is known about; `None` if it would be empty.
    pub(crate) fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self {
            start,
            end,
            sampling_addr: start,
            nr_accesses: 0,
            nr_accesses_bp: 0,
            last_nr_accesses: 0,
            age: 0,
            probe_hits: [0; MAX_PROBES],
            prepared: false,
        })
    }

    /// The first address.
    #[inline]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The address behind the last.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Number of addresses; never zero.
    #[inline]
    pub fn size(&self) -> u64 {
        // INVARIANT: `start < end`.
        self.end.wrapping_sub(self.start)
    }

    /// Accesses counted since the last aggregation.
    #[inline]
    pub fn nr_accesses(&self) -> u32 {
        self.nr_accesses
    }

    /// Accesses within the last aggregation interval's time, in basis points.
    #[inline]
    pub fn nr_accesses_bp(&self) -> u32 {
        self.nr_accesses_bp
    }

    /// Accesses counted in the interval before the last aggregation.
    #[inline]
    pub fn last_nr_accesses(&self) -> u32 {
        self.last_nr_accesses
    }

    /// Number of aggregation intervals for which the access rate has stayed about the same.
    #[inline]
    pub fn age(&self) -> u32 {
        self.age
    }

    /// Positive samples of each data attribute probe.
    #[inline]
    pub fn probe_hits(&self) -> &[u8; MAX_PROBES] {
        &self.probe_hits
    }

    /// Address of the sample that was prepared, if one was.
    #[inline]
    pub fn sample(&self) -> Option<u64> {
        self.prepared.then_some(self.sampling_addr)
    }

    /// Counts the outcome of the sample that was prepared; nothing if none was.
    #[inline]
    pub(crate) fn record(&mut self, window: &Window, accessed: bool) {
        if !self.prepared {
            return;
        }
        self.prepared = false;
        self.nr_accesses_bp =
            window.slide(self.nr_accesses_bp, to_bp(self.last_nr_accesses), accessed);
        if accessed && self.nr_accesses < window.samples() {
            self.nr_accesses = self.nr_accesses.wrapping_add(1);
        }
    }

    /// Notes that a sample at `addr`, which is in the region, is prepared.
    #[inline]
    pub(crate) fn prepare(&mut self, addr: u64) {
        self.sampling_addr = addr;
        self.prepared = true;
    }

    /// Forgets the prepared sample.
    #[inline]
    pub(crate) fn forget_sample(&mut self) {
        self.prepared = false;
    }

    fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    /// Moves the boundaries, if the region does not become empty by that. A sample that is not in
    /// the region any more is forgotten.
    pub(crate) fn resize(&mut self, start: u64, end: u64) {
        if start < end {
            self.start = start;
            self.end = end;
            self.prepared &= self.contains(self.sampling_addr);
        }
    }

    /// Cuts off and returns what lies behind the first `size` addresses. Both parts know what the
    /// whole knew. `None` if one of the two would be empty.
    pub(crate) fn split_off(&mut self, size: u64) -> Option<Self> {
        if size == 0 || size >= self.size() {
            return None;
        }
        let at = self.start.saturating_add(size);
        let mut right = *self;
        right.resize(at, self.end);
        self.resize(self.start, at);
        Some(right)
    }

    /// Size of the region that this one and `right` would form; `None` if they do not touch.
    pub(crate) fn joined_size(&self, right: &Self) -> Option<u64> {
        (self.end == right.start).then(|| right.end.wrapping_sub(self.start))
    }

    /// Takes in `right`, which touches this region. Counts become averages by size.
    pub(crate) fn merge(&mut self, right: &Self) {
        let (left_size, right_size) = (self.size(), right.size());
        let mean = |left, right| average(left, left_size, right, right_size);
        self.nr_accesses = mean(self.nr_accesses, right.nr_accesses);
        self.nr_accesses_bp = to_bp(self.nr_accesses);
        self.age = mean(self.age, right.age);
        for (left, right) in self.probe_hits.iter_mut().zip(right.probe_hits) {
            // An average of bytes is one.
            *left = u8::try_from(mean(u32::from(*left), u32::from(right))).unwrap_or(u8::MAX);
        }
        self.resize(self.start, right.end);
    }

    /// Takes in `right`, which touches this region and is known to be like it.
    pub(crate) fn extend(&mut self, right: &Self) {
        self.resize(self.start, right.end);
    }

    /// Whether nothing of what is known tells `other` from this region.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.age == other.age
            && self.last_nr_accesses == other.last_nr_accesses
            && self.nr_accesses == other.nr_accesses
    }

    /// Makes the moving sum exact at the end of an aggregation interval.
    ///
    /// It is by itself if each sample of the interval was taken and the division of the last
    /// interval's sum had no remainder.
    pub(crate) fn settle_rate(&mut self) {
        self.nr_accesses_bp = to_bp(self.nr_accesses);
    }

    /// Counts an aggregation interval's age, or starts from zero if accesses have changed by more
    /// than `threshold`, or from none to some or back.
    pub(crate) fn count_age(&mut self, threshold: u32) {
        let (now, last) = (self.nr_accesses, self.last_nr_accesses);
        self.age = if now.abs_diff(last) > threshold || (now == 0) != (last == 0) {
            0
        } else {
            self.age.saturating_add(1)
        };
    }

    /// Forgets the age, as it is done with memory that a scheme has changed.
    pub(crate) fn reset_age(&mut self) {
        self.age = 0;
    }

    /// Starts the next aggregation interval.
    pub(crate) fn aggregate(&mut self) {
        self.settle_rate();
        self.last_nr_accesses = self.nr_accesses;
        self.nr_accesses = 0;
        self.probe_hits = [0; MAX_PROBES];
    }

    /// Converts what was counted with `old` intervals to `new` ones.
    ///
    /// `complete` tells that an aggregation interval's counts are all there. Otherwise the ones so
    /// far are given up, since the interval that they belong to is.
    pub(crate) fn rescale(&mut self, old: &Attrs, new: &Attrs, complete: bool) {
        let convert = |accesses: u32| {
            let ratio_bp = mul_div(
                u64::from(accesses),
                u64::from(HIT),
                u64::from(old.max_nr_accesses()),
            );
            narrow(mul_div(
                ratio_bp,
                u64::from(new.max_nr_accesses()),
                u64::from(HIT),
            ))
        };
        if complete {
            self.nr_accesses = convert(self.nr_accesses);
            self.nr_accesses_bp = to_bp(self.nr_accesses);
        } else {
            self.last_nr_accesses = convert(self.last_nr_accesses);
            self.nr_accesses_bp = to_bp(self.last_nr_accesses);
            self.nr_accesses = 0;
        }
        self.age = narrow(mul_div(u64::from(self.age), old.aggr().0, new.aggr().0));
    }

    /// Cuts counts down to what fits into an interval of `window`.
    pub(crate) fn limit_rate(&mut self, window: &Window) {
        let max = window.samples();
        self.nr_accesses = self.nr_accesses.min(max);
        self.last_nr_accesses = self.last_nr_accesses.min(max);
        self.nr_accesses_bp = self.nr_accesses_bp.min(to_bp(max));
    }
}

#[kunit_tests(damon_rs_region)]
pub(super) mod tests {
    use super::{
        super::attrs::{
            AttrsParams,
            Micros, //
        },
        *, //
    };

    /// A region with known counts, for the tests of this layer.
    pub(crate) fn region(
        start: u64,
        end: u64,
        nr_accesses: u32,
        last_nr_accesses: u32,
        age: u32,
    ) -> Result<Region> {
        let mut region = Region::new(start, end).ok_or(EINVAL)?;
        region.nr_accesses = nr_accesses;
        region.nr_accesses_bp = to_bp(nr_accesses);
        region.last_nr_accesses = last_nr_accesses;
        region.age = age;
        Ok(region)
    }

    fn intervals(sample: u64, aggr: u64) -> Result<Attrs> {
        Attrs::try_from(AttrsParams {
            sample: Micros(sample),
            aggr: Micros(aggr),
            ..AttrsParams::default()
        })
    }

    #[test]
    fn starts_unknown() -> Result {
        let region = Region::new(1, 2).ok_or(EINVAL)?;
        assert_eq!(region.start(), 1);
        assert_eq!(region.end(), 2);
        assert_eq!(region.size(), 1);
        assert_eq!(region.nr_accesses(), 0);
        assert_eq!(region.sample(), None);
        assert_eq!(Region::new(2, 2), None);
        Ok(())
    }

    #[test]
    fn both_parts_of_a_split_know_what_the_whole_knew() -> Result {
        let mut left = region(0, 100, 42, 15, 10)?;
        let right = left.split_off(25).ok_or(EINVAL)?;
        assert_eq!((left.start(), left.end()), (0, 25));
        assert_eq!((right.start(), right.end()), (25, 100));
        assert_eq!(right.nr_accesses_bp(), 420_000);
        assert_eq!(left.nr_accesses_bp(), right.nr_accesses_bp());
        assert_eq!(left.nr_accesses(), right.nr_accesses());
        assert_eq!(left.last_nr_accesses(), right.last_nr_accesses());
        assert_eq!(left.age(), right.age());
        assert_eq!(left.split_off(0), None);
        assert_eq!(left.split_off(25), None);
        Ok(())
    }

    #[test]
    fn a_sample_stays_with_the_part_that_has_it() -> Result {
        let mut left = region(0, 100, 0, 0, 0)?;
        left.prepare(30);
        let right = left.split_off(25).ok_or(EINVAL)?;
        assert_eq!(left.sample(), None);
        assert_eq!(right.sample(), Some(30));
        Ok(())
    }

    #[test]
    fn merges_by_size() -> Result {
        let mut left = region(0, 100, 10, 0, 9)?;
        left.merge(&region(100, 300, 20, 0, 21)?);
        assert_eq!((left.start(), left.end()), (0, 300));
        assert_eq!(left.nr_accesses(), 16);
        assert_eq!(left.nr_accesses_bp(), 160_000);
        assert_eq!(left.age(), 17);
        Ok(())
    }

    #[test]
    fn merges_any_size() -> Result {
        let mut left = region(0, 1 << 63, u32::MAX, 0, u32::MAX)?;
        left.merge(&region(1 << 63, u64::MAX, u32::MAX, 0, u32::MAX)?);
        assert_eq!(left.size(), u64::MAX);
        assert_eq!(left.nr_accesses(), u32::MAX);
        assert_eq!(left.age(), u32::MAX);
        Ok(())
    }

    #[test]
    fn ages_while_accesses_stay_alike() -> Result {
        let mut aged = region(0, 1, 12, 10, 5)?;
        aged.count_age(2);
        assert_eq!(aged.age(), 6);
        aged.count_age(1);
        assert_eq!(aged.age(), 0);
        // From none to one is a change, however small.
        let mut woken = region(0, 1, 1, 0, 5)?;
        woken.count_age(2);
        assert_eq!(woken.age(), 0);
        let mut cold = region(0, 1, 0, 0, u32::MAX)?;
        cold.count_age(0);
        assert_eq!(cold.age(), u32::MAX);
        Ok(())
    }

    #[test]
    fn counts_only_prepared_samples() -> Result {
        let window = Window::new(20);
        let mut region = region(0, 100, 0, 0, 0)?;
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 0);
        region.prepare(7);
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 1);
        assert_eq!(region.nr_accesses_bp(), 10_000);
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 1);
        Ok(())
    }

    #[test]
    fn aggregation_makes_the_rate_exact() -> Result {
        let window = Window::new(3);
        let mut region = region(0, 100, 0, 1, 0)?;
        region.nr_accesses_bp = 10_000;
        for hit in [true, false, true] {
            region.prepare(1);
            region.record(&window, hit);
        }
        // A third of 10,000 has a remainder.
        assert_eq!(region.nr_accesses_bp(), 20_001);
        region.aggregate();
        assert_eq!(region.nr_accesses_bp(), 20_000);
        assert_eq!(region.last_nr_accesses(), 2);
        assert_eq!(region.nr_accesses(), 0);
        Ok(())
    }

    #[test]
    fn rescales_results_to_new_intervals() -> Result {
        let old = intervals(10, 1000)?;
        let mut region = region(3, 7, 15, 0, 20)?;
        region.rescale(&old, &intervals(100, 10_000)?, true);
        assert_eq!(region.nr_accesses(), 15);
        assert_eq!(region.age(), 2);
        region.rescale(&old, &intervals(1, 1000)?, true);
        assert_eq!(region.nr_accesses(), 150);
        assert_eq!(region.age(), 2);
        region.rescale(&old, &intervals(1, 100)?, true);
        assert_eq!(region.nr_accesses(), 150);
        assert_eq!(region.age(), 20);
        Ok(())
    }

    #[test]
    fn rescaling_gives_up_an_incomplete_interval() -> Result {
        let mut region = region(3, 7, 4, 50, 20)?;
        region.rescale(&intervals(10, 1000)?, &intervals(100, 1000)?, false);
        assert_eq!(region.nr_accesses(), 0);
        assert_eq!(region.last_nr_accesses(), 5);
        assert_eq!(region.nr_accesses_bp(), 50_000);
        assert_eq!(region.age(), 20);
        Ok(())
    }

    #[test]
    fn a_ratio_in_a_huge_window_is_none() -> Result {
        let huge = intervals(10, (1 << 32) * 10)?;
        let mut region = region(3, 7, 123, 0, 0)?;
        region.rescale(&huge, &intervals(10, 1000)?, true);
        assert_eq!(region.nr_accesses(), 0);
        Ok(())
    }
}
