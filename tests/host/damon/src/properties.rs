// SPDX-License-Identifier: GPL-2.0

//! What holds for any input.

mod accuracy;
mod commit;
mod counters;
mod limits;
mod memory;
mod quota;
mod ranges;
mod sharing;
mod steps;
mod strategies;

use crate::{
    engine::{
        Context,
        Region,
        Walker, //
    },
    metrics::FakeMetrics, //
};
use memory::{
    Counter,
    Memory, //
};

/// Everything that can be seen of a context.
fn picture(context: &Context<Memory>) -> String {
    let targets: Vec<_> = context
        .targets()
        .iter()
        .map(|target| (target.space(), target.regions()))
        .collect();
    let schemes: Vec<_> = context
        .schemes()
        .iter()
        .map(|scheme| (scheme.params(), scheme.stat(), scheme.quota()))
        .collect();
    format!(
        "{:?} {:?} {:?} {} {} {targets:?} {schemes:?}",
        context.ops(),
        context.attrs(),
        context.probes(),
        context.paused(),
        context.passed(),
    )
}

/// A sampling tick as the kdamond makes it, with trace events. Returns whether the walk is
/// complete.
fn tick(
    context: &mut Context<Memory>,
    metrics: &FakeMetrics,
    walker: Option<&mut dyn Walker>,
) -> bool {
    let tick = context.begin_tick();
    check_invariants(context);
    let walked = context.finish_tick(tick, &mut Counter::default(), metrics, walker);
    check_invariants(context);
    walked
}

/// Sampling ticks without a walk.
fn ticks(context: &mut Context<Memory>, times: u64) {
    for _ in 0..times {
        tick(context, &FakeMetrics::default(), None);
    }
}

/// Lets sampling intervals pass without a sample. The aggregation window ends at the next tick.
fn skip_window(context: &mut Context<Memory>) {
    let progress = &mut context.progress;
    progress.passed = progress.schedule.next_aggregation.saturating_sub(1);
}

/// All regions of a context.
fn regions(context: &Context<Memory>) -> impl Iterator<Item = &Region> {
    context
        .targets()
        .iter()
        .flat_map(|target| target.regions().iter())
}

/// Number of addresses in all regions.
fn total_size(context: &Context<Memory>) -> u128 {
    regions(context)
        .map(|region| u128::from(region.size()))
        .sum()
}

/// Panics unless regions are sorted, disjoint, aligned and not empty, what is known of their sizes
/// is so, rates are possible ones, and samples are in their regions and missing only where it is
/// known.
fn check_invariants(context: &Context<Memory>) {
    let min_region_sz = context.ops().min_region_sz;
    let max = context.attrs().max_nr_accesses();
    for target in context.targets() {
        for pair in target.regions().windows(2) {
            assert!(pair[0].end() <= pair[1].start(), "{pair:?} overlap");
        }
        let sizes = || target.regions().iter().map(Region::size);
        assert_eq!(target.regions.size(), sizes().sum::<u64>());
        assert!(sizes().all(|size| size <= target.regions.largest()));
        let sampled = target.regions().iter().all(|r| r.sample().is_some());
        let weighted = context.probes().are_weighted();
        assert!(weighted || sampled || target.regions.need_samples());
    }
    let latest = context.latest_interval();
    for region in regions(context) {
        assert!(region.start() < region.end(), "{region:?} is empty");
        assert!(
            region.start() % min_region_sz == 0 && region.end() % min_region_sz == 0,
            "{region:?} is not aligned to {min_region_sz}"
        );
        assert!(region.nr_accesses() <= max, "{region:?} above {max}");
        assert!(region.last_nr_accesses() <= max, "{region:?} above {max}");
        assert!(
            region.recent_nr_accesses(&latest) <= max,
            "{region:?} above {max}"
        );
        let hits = region.probe_hits().iter().chain(region.last_probe_hits());
        assert!(
            hits.into_iter().all(|hits| u32::from(*hits) <= max),
            "{region:?} above {max}"
        );
        if let Some(addr) = region.sample() {
            assert!(
                (region.start()..region.end()).contains(&addr),
                "{region:?} has its sample elsewhere"
            );
        }
    }
}
