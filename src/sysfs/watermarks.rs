// SPDX-License-Identifier: GPL-2.0

//! `schemes/<S>/watermarks/`: the watermarks that activate and deactivate a scheme.

use super::{
    kobject::{
        files,
        Directory,
        File, //
    },
    values::{
        Number,
        Word,
        Words, //
    },
};
use crate::engine::{
    self,
    Micros,
    WatermarkMetric, //
};
use kernel::prelude::*;

impl Words for WatermarkMetric {
    const WORDS: &'static [(&'static CStr, Self)] = &[
        (Self::None.name(), Self::None),
        (Self::FreeMemRate.name(), Self::FreeMemRate),
    ];
}

/// `watermarks/`
pub(super) struct WatermarksDir {
    metric: Word<WatermarkMetric>,
    interval_us: Number<u64>,
    high: Number<u64>,
    mid: Number<u64>,
    low: Number<u64>,
}

impl Directory for WatermarksDir {
    fn files() -> &'static [File<Self>] {
        files!(WatermarksDir {
            rw c"metric": |marks| &marks.metric;
            rw c"interval_us": |marks| &marks.interval_us;
            rw c"high": |marks| &marks.high;
            rw c"mid": |marks| &marks.mid;
            rw c"low": |marks| &marks.low;
        })
    }
}

impl WatermarksDir {
    pub(super) const fn new() -> Self {
        Self {
            metric: Word::new(),
            interval_us: Number::new(0),
            high: Number::new(0),
            mid: Number::new(0),
            low: Number::new(0),
        }
    }

    /// Builds the watermarks from the files. Never fails, see [`Word::get`].
    pub(super) fn params(&self) -> Result<engine::Watermarks> {
        Ok(engine::Watermarks {
            metric: self.metric.get()?,
            interval: Micros(self.interval_us.get()),
            high: self.high.get(),
            mid: self.mid.get(),
            low: self.low.get(),
        })
    }
}
