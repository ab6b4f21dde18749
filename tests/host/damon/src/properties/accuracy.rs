// SPDX-License-Identifier: GPL-2.0

//! The point of it all: finding what is hot.

use super::{
    memory::Memory,
    strategies::Wanted,
    ticks, //
};
use crate::engine::{
    AttrsParams,
    Context, //
};

const MIB: u64 = 1 << 20;

/// Precision and recall for a hot area of 16 in 256 MiB, after 10 seconds at the defaults.
fn hot_area(start: u64, seed: u64) -> (f64, f64) {
    let base = 0x7f00_0000_0000;
    let hot = (base + start, base + start + 16 * MIB);
    let wanted = Wanted {
        ops: Memory {
            min_region_sz: 4096,
            covers: Some(vec![(base, base + 256 * MIB)]),
            hot,
        },
        attrs: AttrsParams::default(),
        probes: Vec::new(),
        pause: false,
        targets: vec![(0, false, Vec::new())],
        schemes: Vec::new(),
    };
    let mut context = Context::new(wanted.params().unwrap(), seed).unwrap();
    context.start();
    context.prepare();
    ticks(&mut context, 2000);
    assert!((10..=1000).contains(&context.nr_regions()));

    let (mut found, mut right) = (0, 0);
    for region in context.targets()[0].regions() {
        if region.last_nr_accesses() >= 10 {
            found += region.size();
            let (start, end) = (region.start().max(hot.0), region.end().min(hot.1));
            right += end.saturating_sub(start);
        }
    }
    (
        right as f64 / found as f64,
        right as f64 / (16 * MIB) as f64,
    )
}

#[test]
fn finds_the_hot_area() {
    for seed in 0..20 {
        for start in [0, 100 * MIB + 12_288, 240 * MIB] {
            let (precision, recall) = hot_area(start, seed);
            assert!(
                precision >= 0.95 && recall >= 0.95,
                "precision {precision}, recall {recall} for seed {seed}, start {start}"
            );
        }
    }
}
