// SPDX-License-Identifier: GPL-2.0

//! Looking on while schemes are applied.

use super::region::Region;

/// A scheme's action was tried on a region.
pub struct Tried<'a> {
    /// Index of the target.
    pub target: usize,
    /// Index of the scheme.
    pub scheme: usize,
    /// The region.
    pub region: &'a Region,
    /// Hits of each of the context's probes within the last aggregation interval's time.
    pub probe_hits: &'a [u8],
    /// Bytes of it that passed the filters that the operations look at.
    pub sz_filter_passed: u64,
}

/// Somebody who looks on.
pub trait Walker {
    /// Called for each region and scheme, right after the scheme's action was tried on the region.
    fn visit(&mut self, tried: &Tried<'_>);
}
