// SPDX-License-Identifier: GPL-2.0

//! A region: adjacent memory that is assumed to have the same access pattern. Corresponds to
//! `struct damon_region`.

mod rescale;

use super::{
    super::num::average,
    rate::{
        LatestInterval,
        SampleWindow, //
    }, //
};
use kernel::prelude::*;

/// Largest number of probes for data attributes.
pub const MAX_PROBES: usize = 4;

/// Number of hits of each probe in an aggregation window. Counts above 255 saturate.
pub type ProbeHits = [u8; MAX_PROBES];

/// The address range `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddrRange {
    /// The first address.
    pub start: u64,
    /// The end address, exclusive.
    pub end: u64,
}

/// Adjacent memory that is assumed to have the same access pattern, and its monitoring results.
///
/// All regions are read at every sampling interval, so their size is the cache footprint of
/// monitoring: at most 48 bytes.
///
/// # Invariants
///
/// - `start < end`, except for a region that was merged into another one and is about to be
///   removed.
/// - `sampling_addr` is in the region, or it is [`NO_SAMPLE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    start: u64,
    end: u64,
    sampling_addr: u64,
    nr_accesses: u32,
    last_nr_accesses: u32,
    age: u32,
    probe_hits: ProbeHits,
    last_probe_hits: ProbeHits,
}

/// Stands for no sample. No region contains this address, because the end of a region is exclusive.
const NO_SAMPLE: u64 = u64::MAX;

const _: () = ::core::assert!(size_of::<Region>() <= 48);

impl Region {
    /// Creates a region without results. Returns `None` if it would be empty.
    pub(crate) fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self {
            start,
            end,
            sampling_addr: NO_SAMPLE,
            nr_accesses: 0,
            last_nr_accesses: 0,
            age: 0,
            probe_hits: [0; MAX_PROBES],
            last_probe_hits: [0; MAX_PROBES],
        })
    }

    /// The first address.
    #[inline]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The end address, exclusive.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Returns the number of addresses. Never zero.
    #[inline]
    pub fn size(&self) -> u64 {
        // By the type invariant `start < end`, so the difference does not wrap.
        self.end.wrapping_sub(self.start)
    }

    /// Returns the number of samples that found an access in the current aggregation window.
    #[inline]
    pub fn nr_accesses(&self) -> u32 {
        self.nr_accesses
    }

    /// Returns the access rate as a pseudo moving sum: the number of samples in the latest
    /// aggregation interval that found an access, rounded down. Schemes select regions by it. For
    /// the interval see [`Context::latest_interval`](super::super::context::Context).
    #[inline]
    pub fn recent_nr_accesses(&self, latest: &LatestInterval) -> u32 {
        latest.count(self.nr_accesses, self.last_nr_accesses)
    }

    /// Returns [`Self::recent_nr_accesses`] times 10,000, not rounded.
    pub fn recent_nr_accesses_bp(&self, latest: &LatestInterval) -> u64 {
        latest.count_bp(self.nr_accesses, self.last_nr_accesses)
    }

    /// Returns the number of samples that found an access in the last complete aggregation window.
    #[inline]
    pub fn last_nr_accesses(&self) -> u32 {
        self.last_nr_accesses
    }

    /// Returns the number of aggregation intervals for which the access rate has been about the
    /// same.
    #[inline]
    pub fn age(&self) -> u32 {
        self.age
    }

    /// Returns the hits of each probe in the current aggregation window.
    #[inline]
    pub fn probe_hits(&self) -> &ProbeHits {
        &self.probe_hits
    }

    /// Returns the hits of each probe in the last complete aggregation window.
    #[inline]
    pub fn last_probe_hits(&self) -> &ProbeHits {
        &self.last_probe_hits
    }

    /// Returns the hits of each probe in the latest aggregation interval. As for the access rate,
    /// the hits of the last window are assumed to be evenly distributed.
    pub(crate) fn recent_probe_hits(&self, latest: &LatestInterval) -> ProbeHits {
        let mut hits = self.probe_hits;
        for (hits, last) in hits.iter_mut().zip(self.last_probe_hits) {
            let count = latest.count(u32::from(*hits), u32::from(last));
            *hits = u8::try_from(count).unwrap_or(u8::MAX);
        }
        hits
    }

    /// Returns the hits of each probe in the current aggregation window or, if that has no sample
    /// yet, in the last complete one.
    pub(crate) fn counted_probe_hits(&self, latest: &LatestInterval) -> &ProbeHits {
        if latest.is_last_window() {
            &self.last_probe_hits
        } else {
            &self.probe_hits
        }
    }

    /// Returns the sampling address, if a sample is prepared.
    #[inline]
    pub fn sample(&self) -> Option<u64> {
        (self.sampling_addr != NO_SAMPLE).then_some(self.sampling_addr)
    }

    /// Counts the result of the prepared sample and consumes the sample. Does nothing without one.
    #[inline]
    pub(crate) fn record(&mut self, window: &SampleWindow, accessed: bool) {
        if self.sampling_addr != NO_SAMPLE {
            self.count(window, accessed);
        }
    }

    /// Calls `accessed` with the sampling address, counts the result and consumes the sample. Does
    /// nothing without a prepared sample.
    #[inline]
    pub(crate) fn check(&mut self, window: &SampleWindow, accessed: impl FnOnce(u64) -> bool) {
        if self.sampling_addr != NO_SAMPLE {
            let accessed = accessed(self.sampling_addr);
            self.count(window, accessed);
        }
    }

    #[inline]
    fn count(&mut self, window: &SampleWindow, accessed: bool) {
        self.sampling_addr = NO_SAMPLE;
        if accessed && self.nr_accesses < window.samples() {
            self.nr_accesses = self.nr_accesses.wrapping_add(1);
        }
    }

    /// Marks a sample at `addr` as prepared. `addr` must be in the region.
    #[inline]
    pub(crate) fn prepare(&mut self, addr: u64) {
        self.sampling_addr = addr;
    }

    /// Counts a hit of a probe, up to the number of samples in a window.
    #[inline]
    pub(crate) fn count_hit(&mut self, window: &SampleWindow, probe: usize) {
        if let Some(hits) = self.probe_hits.get_mut(probe) {
            if u32::from(*hits) < window.samples() {
                *hits = hits.saturating_add(1);
            }
        }
    }

    /// Resets the hits of the probes that are set in `which`.
    pub(crate) fn forget_hits(&mut self, which: &[bool; MAX_PROBES]) {
        let both = self.probe_hits.iter_mut().zip(&mut self.last_probe_hits);
        for ((hits, last), _) in both.zip(which).filter(|(_, forget)| **forget) {
            (*hits, *last) = (0, 0);
        }
    }

    /// Drops the prepared sample.
    #[inline]
    pub(crate) fn forget_sample(&mut self) {
        self.sampling_addr = NO_SAMPLE;
    }

    fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    /// Moves the boundaries, unless the region would become empty. A sample outside of the new
    /// boundaries is dropped.
    pub(crate) fn resize(&mut self, start: u64, end: u64) {
        if start < end {
            self.start = start;
            self.end = end;
            if !self.contains(self.sampling_addr) {
                self.sampling_addr = NO_SAMPLE;
            }
        }
    }

    /// Splits off and returns everything after the first `size` addresses. Both parts keep all
    /// results. Returns `None` if a part would be empty.
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

    /// Returns the size that the union with `right` would have, or `None` if the two are not
    /// adjacent.
    #[inline]
    pub(crate) fn joined_size(&self, right: &Self) -> Option<u64> {
        (self.end == right.start).then(|| right.end.wrapping_sub(self.start))
    }

    /// Merges the adjacent region `right` into this one. Counts become averages weighted by size,
    /// as in `damon_merge_two_regions()`. Both samples are dropped.
    pub(crate) fn merge(&mut self, right: &Self) {
        let (left_size, right_size) = (self.size(), right.size());
        let mean = |left, right| average(left, left_size, right, right_size);
        self.nr_accesses = mean(self.nr_accesses, right.nr_accesses);
        self.age = mean(self.age, right.age);
        for (left, right) in self.probe_hits.iter_mut().zip(right.probe_hits) {
            // The average of two 8-bit numbers fits in 8 bits.
            *left = u8::try_from(mean(u32::from(*left), u32::from(right))).unwrap_or(u8::MAX);
        }
        self.extend(right);
    }

    /// Extends this region over the adjacent region `right`, which has the same results. Both
    /// samples are dropped.
    pub(crate) fn extend(&mut self, right: &Self) {
        self.resize(self.start, right.end);
        self.sampling_addr = NO_SAMPLE;
    }

    /// Makes the region empty, which marks it for removal, see [`Self::has_vanished`].
    #[inline]
    pub(crate) fn vanish(&mut self) {
        self.end = self.start;
    }

    /// Returns whether the region was merged into another one and is to be removed.
    pub(crate) fn has_vanished(&self) -> bool {
        self.end == self.start
    }

    /// Returns whether all results of `other` are the same as those of this region.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.age == other.age
            && self.last_nr_accesses == other.last_nr_accesses
            && self.nr_accesses == other.nr_accesses
            && self.last_probe_hits == other.last_probe_hits
            && self.probe_hits == other.probe_hits
    }

    /// Increments the age, or resets it to zero if the value that regions are compared by has
    /// changed. It was `last` in the window before and is `now`. It has changed if the difference
    /// is larger than `threshold`, or if one of the two is zero and the other is not. As in
    /// `damon_merge_regions_of()`.
    #[inline]
    pub(crate) fn count_age(&mut self, now: u32, last: u32, threshold: u32) {
        let alike = || now.abs_diff(last) <= threshold && (now == 0) == (last == 0);
        // Most memory keeps its access rate, which is often zero.
        self.age = if now == last || alike() {
            self.age.saturating_add(1)
        } else {
            0
        };
    }

    /// Resets the age, as is done after a scheme's action has changed the memory.
    pub(crate) fn reset_age(&mut self) {
        self.age = 0;
    }

    /// Starts the next aggregation window: the counts of the current one become those of the last
    /// complete one.
    #[inline]
    pub(crate) fn aggregate(&mut self) {
        let counts = self.nr_accesses | self.last_nr_accesses;
        let hits = [self.probe_hits, self.last_probe_hits].map(u32::from_ne_bytes);
        // Most memory is idle, and its counts remain zero.
        if counts == 0 && hits == [0; 2] {
            return;
        }
        self.last_nr_accesses = self.nr_accesses;
        self.nr_accesses = 0;
        self.last_probe_hits = self.probe_hits;
        self.probe_hits = [0; MAX_PROBES];
    }

    /// Returns the region with the results of the last complete aggregation window.
    pub(crate) fn as_aggregated(&self) -> Self {
        Self {
            nr_accesses: self.last_nr_accesses,
            probe_hits: self.last_probe_hits,
            ..*self
        }
    }
}

#[kunit_tests(damon_rs_region)]
pub(crate) mod tests {
    use super::*;

    /// Creates a region with the given counts, for the tests of this layer.
    pub(crate) fn region(
        start: u64,
        end: u64,
        nr_accesses: u32,
        last_nr_accesses: u32,
        age: u32,
    ) -> Result<Region> {
        let mut region = Region::new(start, end).ok_or(EINVAL)?;
        region.nr_accesses = nr_accesses;
        region.last_nr_accesses = last_nr_accesses;
        region.age = age;
        Ok(region)
    }

    #[test]
    fn starts_without_results() -> Result {
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
    fn a_sample_is_checked_once() -> Result {
        let mut region = region(0, 100, 0, 0, 0)?;
        let window = SampleWindow::new(10);
        let mut checked = None;
        region.check(&window, |addr| checked.replace(addr).is_none());
        assert_eq!((checked, region.nr_accesses()), (None, 0));
        region.prepare(42);
        region.check(&window, |addr| checked.replace(addr).is_none());
        assert_eq!((checked, region.nr_accesses()), (Some(42), 1));
        region.check(&window, |addr| checked.replace(addr).is_some());
        assert_eq!((region.sample(), region.nr_accesses()), (None, 1));
        Ok(())
    }

    #[test]
    fn both_parts_of_a_split_inherit_the_results() -> Result {
        let mut left = region(0, 100, 42, 15, 10)?;
        let right = left.split_off(25).ok_or(EINVAL)?;
        assert_eq!((left.start(), left.end()), (0, 25));
        assert_eq!((right.start(), right.end()), (25, 100));
        assert_eq!((left.nr_accesses(), right.nr_accesses()), (42, 42));
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
    fn merging_drops_the_sample() -> Result {
        let mut left = region(0, 100, 0, 0, 0)?;
        left.prepare(30);
        let mut whole = left;
        whole.merge(&region(100, 200, 0, 0, 0)?);
        assert_eq!(whole.sample(), None);
        left.extend(&region(100, 200, 0, 0, 0)?);
        assert_eq!(left.sample(), None);
        Ok(())
    }

    #[test]
    fn merges_by_size() -> Result {
        let mut left = region(0, 100, 10, 0, 9)?;
        left.merge(&region(100, 300, 20, 0, 21)?);
        assert_eq!((left.start(), left.end()), (0, 300));
        assert_eq!(left.nr_accesses(), 16);
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
        let mut aged = region(0, 1, 0, 0, 5)?;
        aged.count_age(12, 10, 2);
        assert_eq!(aged.age(), 6);
        aged.count_age(12, 10, 1);
        assert_eq!(aged.age(), 0);
        // A change from zero to one is a change regardless of the threshold.
        let mut woken = region(0, 1, 0, 0, 5)?;
        woken.count_age(1, 0, 2);
        assert_eq!(woken.age(), 0);
        let mut cold = region(0, 1, 0, 0, u32::MAX)?;
        cold.count_age(0, 0, 0);
        assert_eq!(cold.age(), u32::MAX);
        Ok(())
    }

    #[test]
    fn counts_only_prepared_samples() -> Result {
        let window = SampleWindow::new(20);
        let mut region = region(0, 100, 0, 0, 0)?;
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 0);
        region.prepare(7);
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 1);
        region.record(&window, true);
        assert_eq!(region.nr_accesses(), 1);
        Ok(())
    }

    #[test]
    fn the_rate_is_that_of_the_latest_interval() -> Result {
        let window = SampleWindow::new(3);
        let mut region = region(0, 100, 0, 3, 0)?;
        // All samples of the last window have found an access.
        for (passed, hit, rate) in [(1, true, 3), (2, false, 2), (3, true, 2)] {
            region.prepare(1);
            region.record(&window, hit);
            let latest = LatestInterval::new(window, passed);
            assert_eq!(region.recent_nr_accesses(&latest), rate);
        }
        region.aggregate();
        let latest = LatestInterval::new(window, 0);
        assert_eq!(region.recent_nr_accesses(&latest), 2);
        assert_eq!(region.last_nr_accesses(), 2);
        assert_eq!(region.nr_accesses(), 0);
        Ok(())
    }

    fn with_hits(mut region: Region, hits: ProbeHits, last: ProbeHits) -> Region {
        region.probe_hits = hits;
        region.last_probe_hits = last;
        region
    }

    #[test]
    fn hits_are_split_merged_and_aggregated() -> Result {
        let mut left = with_hits(region(0, 300, 0, 0, 0)?, [9, 0, 255, 1], [7, 6, 5, 4]);
        let right = left.split_off(100).ok_or(EINVAL)?;
        assert_eq!(right.probe_hits(), left.probe_hits());
        assert_eq!(right.last_probe_hits(), left.last_probe_hits());
        left.merge(&with_hits(right, [0, 3, 255, 1], [0; 4]));
        assert_eq!(*left.probe_hits(), [3, 2, 255, 1]);
        left.aggregate();
        assert_eq!(*left.probe_hits(), [0; 4]);
        assert_eq!(*left.last_probe_hits(), [3, 2, 255, 1]);
        left.forget_hits(&[true, false, false, true]);
        assert_eq!(*left.last_probe_hits(), [0, 2, 255, 0]);
        Ok(())
    }

    #[test]
    fn hits_of_the_last_interval_count_in_part() -> Result {
        let region = with_hits(region(0, 1, 0, 0, 0)?, [1, 0, 200, 0], [20, 3, 200, 255]);
        let after = |passed| LatestInterval::new(SampleWindow::new(20), passed);
        assert_eq!(region.recent_probe_hits(&after(20)), [1, 0, 200, 0]);
        assert_eq!(region.recent_probe_hits(&after(10)), [11, 1, 255, 127]);
        assert_eq!(region.recent_probe_hits(&after(0)), [21, 3, 255, 255]);
        Ok(())
    }

    #[test]
    fn shows_the_last_aggregation() -> Result {
        let mut region = with_hits(region(0, 1, 12, 0, 3)?, [5; 4], [0; 4]);
        let aggregated = region;
        region.aggregate();
        region.nr_accesses = 7;
        assert_eq!(
            region.as_aggregated().nr_accesses(),
            aggregated.nr_accesses()
        );
        assert_eq!(region.as_aggregated().probe_hits(), aggregated.probe_hits());
        Ok(())
    }

    #[test]
    fn no_address_of_a_region_means_no_sample() -> Result {
        let mut last = region(u64::MAX - 1, u64::MAX, 0, 0, 0)?;
        assert_eq!(last.sample(), None);
        last.prepare(u64::MAX - 1);
        assert_eq!(last.sample(), Some(u64::MAX - 1));
        Ok(())
    }
}
