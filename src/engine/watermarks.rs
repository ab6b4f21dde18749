// SPDX-License-Identifier: GPL-2.0

//! Watermarks: when a scheme is to rest.

use super::attrs::Micros;

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
