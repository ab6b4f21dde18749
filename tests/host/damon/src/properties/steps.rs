// SPDX-License-Identifier: GPL-2.0

//! Sampling ticks, commits and pauses in any order.

use super::{
    check_invariants,
    memory::{
        Counter,
        Shown,
        Visits, //
    },
    picture,
    regions,
    skip_window,
    strategies::{
        good_wanted,
        Limits,
        Wanted, //
    },
    ticks,
    total_size, //
};
use crate::{
    engine::{
        Attribute,
        Context,
        Operations,
        Walker, //
    },
    metrics::FakeMetrics, //
};
use kernel::inject::with_failure;
use proptest::prelude::{
    prop_assert,
    prop_assert_eq,
    prop_oneof,
    proptest,
    Just,
    Strategy, //
};

#[derive(Clone, Debug)]
enum Step {
    /// A sampling tick, with a commit between its halves or none.
    Tick {
        walk: bool,
        between: Option<Box<Wanted>>,
    },
    /// Sampling intervals pass until one is left of the aggregation window.
    SkipWindow,
    /// Monitoring goes on after a pause.
    Prepare,
    ShowLatest,
    Commit(Box<Wanted>),
}

fn step() -> impl Strategy<Value = Step> {
    let some = |wanted| Some(Box::new(wanted));
    let between = prop_oneof![8 => Just(None), 1 => good_wanted().prop_map(some)];
    prop_oneof![
        12 => (proptest::bool::ANY, between).prop_map(|(walk, between)| Step::Tick { walk, between }),
        6 => Just(Step::SkipWindow),
        1 => Just(Step::Prepare),
        1 => Just(Step::ShowLatest),
        1 => good_wanted().prop_map(|wanted| Step::Commit(Box::new(wanted))),
    ]
}

/// The result of the last aggregation window is complete, and nothing is counted for the next one.
fn check_window_start(context: &Context<super::Memory>) {
    for region in regions(context) {
        assert_eq!(region.nr_accesses(), 0);
        assert_eq!(*region.probe_hits(), [0; 4]);
        let latest = context.latest_interval();
        assert_eq!(
            region.recent_nr_accesses(&latest),
            region.last_nr_accesses()
        );
    }
}

fn take(context: &mut Context<super::Memory>, step: &Step) {
    match step {
        Step::Tick { walk, between } => {
            let ends = context.progress.passed.saturating_add(1)
                >= context.progress.schedule.next_aggregation;
            let tick = context.begin_tick();
            check_invariants(context);
            if ends {
                check_window_start(context);
            }
            if let Some(wanted) = between {
                let _ = wanted.params().and_then(|params| context.commit(params));
                check_invariants(context);
            }
            let mut visits = Visits::default();
            let walker = walk.then_some(&mut visits as &mut dyn Walker);
            let walked = context.finish_tick(
                tick,
                &mut Counter::default(),
                &FakeMetrics::default(),
                walker,
            );
            assert!(*walk || !walked);
            let prepared = regions(context).all(|region| region.sample().is_some());
            assert!(prepared || context.probes().are_weighted());
        }
        Step::SkipWindow => skip_window(context),
        Step::Prepare => context.prepare(),
        Step::ShowLatest => show_latest(context),
        Step::Commit(wanted) => {
            let _ = wanted.params().and_then(|params| context.commit(params));
        }
    }
}

/// What is shown covers what there is, of targets that have not ceased to exist.
fn show_latest(context: &Context<super::Memory>) {
    let mut shown = Shown::default();
    if context.show_latest(&mut shown) {
        let targets = context.targets().iter();
        let valid = targets.filter(|target| context.ops().is_valid(target.space()));
        let regions = valid.flat_map(|target| target.regions());
        let size: u128 = regions.map(|region| u128::from(region.size())).sum();
        for scheme in 0..context.schemes().len() {
            assert!(shown.0.get(&scheme).copied().unwrap_or(0) <= size);
        }
    } else {
        assert!(shown.0.is_empty());
    }
}

proptest! {
    #[test]
    fn invariants_hold_whatever_is_done(
        wanted in good_wanted(),
        steps in proptest::collection::vec(step(), 1..80),
        seed in proptest::num::u64::ANY,
    ) {
        let mut context = Context::new(wanted.params().unwrap(), seed).unwrap();
        check_invariants(&context);
        context.start();
        check_invariants(&context);
        for step in &steps {
            let (size, nr_regions) = (total_size(&context), context.nr_regions());
            take(&mut context, step);
            check_invariants(&context);
            match step {
                Step::SkipWindow | Step::Prepare | Step::ShowLatest => {
                    prop_assert_eq!(context.nr_regions(), nr_regions);
                    prop_assert_eq!(total_size(&context), size);
                }
                Step::Tick { between: None, .. } => {
                    prop_assert!(context.ops().covers.is_some() || total_size(&context) == size);
                }
                Step::Tick { .. } | Step::Commit(_) => {}
            }
        }
    }

    #[test]
    fn invariants_hold_when_memory_is_short(
        wanted in good_wanted(),
        steps in proptest::collection::vec((step(), 0u64..4), 1..40),
    ) {
        let mut context = Context::new(wanted.params().unwrap(), 3).unwrap();
        with_failure(Some(0), || context.start());
        check_invariants(&context);
        for (step, failure) in &steps {
            let size = total_size(&context);
            let commits = matches!(step, Step::Tick { between: Some(_), .. } | Step::Commit(_));
            let sizes_stay = !commits && context.ops().covers.is_none();
            with_failure(Some(*failure), || take(&mut context, step));
            check_invariants(&context);
            prop_assert!(!sizes_stay || total_size(&context) == size);
        }
    }

    #[test]
    fn the_upper_limit_holds_where_it_can(
        wanted in good_wanted(),
        rounds in 1usize..30,
    ) {
        // One range and equal accesses everywhere: nothing but the limits speaks against merging.
        let mut wanted = wanted;
        wanted.targets = vec![(0, false, vec![(0, 1 << 30)])];
        wanted.ops.covers = None;
        let mut context = Context::new(wanted.params().unwrap(), 5).unwrap();
        context.start();
        context.prepare();
        let max = context.attrs().params().max_nr_regions as usize;
        for _ in 0..rounds {
            let samples = context.attrs().aggr_samples().min(50);
            ticks(&mut context, samples - 1);
            skip_window(&mut context);
            ticks(&mut context, 1);
            // Size limits are rounded up to min_region_sz, and leave a rest.
            prop_assert!(context.nr_regions() <= max + 1);
            prop_assert!(context.nr_regions() >= 3);
        }
    }

    #[test]
    fn sampling_and_schemes_do_not_allocate(
        wanted in good_wanted(),
        rounds in 1u64..10,
    ) {
        // Where quotas and filters split regions, and where the ranges are read again, room is
        // made.
        let mut wanted = wanted;
        wanted.ops.covers = None;
        for scheme in &mut wanted.schemes {
            scheme.limits = Limits::default();
        }
        let mut context = Context::new(wanted.params().unwrap(), 7).unwrap();
        context.start();
        // Splits at the end of a window may, where a target has more than its share of the regions.
        let samples = context.attrs().aggr_samples().saturating_sub(1);
        let ((), allocations) = with_failure(None, || {
            context.prepare();
            for _ in 0..samples.min(rounds) {
                let tick = context.begin_tick();
                context.finish_tick(tick, &mut Counter::default(), &FakeMetrics::default(), Some(&mut Visits::default()));
            }
        });
        prop_assert_eq!(allocations, 0);
    }

    #[test]
    fn a_seed_tells_all(wanted in good_wanted(), seed in proptest::num::u64::ANY) {
        let run = || {
            let mut context = Context::new(wanted.params().unwrap(), seed).unwrap();
            context.start();
            context.prepare();
            for _ in 0..10 {
                skip_window(&mut context);
                ticks(&mut context, 1);
            }
            picture(&context)
        };
        prop_assert_eq!(run(), run());
    }
}

proptest! {
    /// Results are those of the last complete window, whenever they are read: nothing is left of
    /// the window before, in no region.
    #[test]
    fn results_are_those_of_one_window(
        hot in proptest::collection::vec((0u64..64, 1u64..32), 1..20),
        seed in proptest::num::u64::ANY,
    ) {
        let wanted = Wanted {
            ops: super::Memory { min_region_sz: 1 << 12, covers: None, hot: (0, 0) },
            attrs: crate::engine::AttrsParams::default(),
            probes: Vec::new(),
            pause: false,
            targets: vec![(0, false, vec![(0, 1 << 18)])],
            schemes: Vec::new(),
        };
        let mut context = Context::new(wanted.params().unwrap(), seed).unwrap();
        context.start();
        context.prepare();
        for (start, len) in hot {
            let (start, end) = (start << 12, (start + len) << 12);
            context.settings.ops.hot = (start, end);
            ticks(&mut context, 19);
            let tick = context.begin_tick();
            for region in regions(&context) {
                if region.end() <= start || end <= region.start() {
                    prop_assert_eq!(region.last_nr_accesses(), 0);
                }
                if start <= region.start() && region.end() <= end {
                    prop_assert_eq!(region.last_nr_accesses(), 20);
                }
            }
            context.finish_tick(tick, &mut Counter::default(), &FakeMetrics::default(), None);
        }
    }
}

#[test]
fn steady_state_does_not_allocate() {
    let wanted = Wanted {
        ops: super::Memory {
            min_region_sz: 4096,
            covers: None,
            hot: (1 << 24, 1 << 25),
        },
        attrs: crate::engine::AttrsParams::default(),
        probes: vec![(0, vec![(Attribute::Anon, true, true)]), (0, Vec::new())],
        pause: false,
        targets: vec![(0, false, vec![(0, 1 << 28)])],
        schemes: Vec::new(),
    };
    let mut context = Context::new(wanted.params().unwrap(), 9).unwrap();
    context.start();
    context.prepare();
    let ((), allocations) = with_failure(None, || {
        for _ in 0..100 * 20 {
            let tick = context.begin_tick();
            context.finish_tick(tick, &mut Counter::default(), &FakeMetrics::default(), None);
        }
    });
    assert_eq!(allocations, 0);
}
