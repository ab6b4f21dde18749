// SPDX-License-Identifier: GPL-2.0

//! Where trace events go.

use super::{
    attrs::Micros,
    region::Region, //
};

/// A sink of trace events.
pub trait Events {
    /// Whether somebody listens to [`Self::aggregated`].
    fn aggregated_enabled(&self) -> bool;

    /// The results of an aggregation interval for one of the `nr_regions` regions of a target,
    /// named by its index.
    fn aggregated(&mut self, target: usize, nr_regions: usize, region: &Region, nr_probes: usize);

    /// The sampling interval that tuning has come to, another than before or not.
    fn tuned(&mut self, sample: Micros);
}
