// SPDX-License-Identifier: GPL-2.0

//! The steps of a monitoring thread, in any order.

use super::{
    check_invariants,
    memory::{
        Counter,
        Shown,
        Visits, //
    },
    picture,
    regions,
    strategies::{
        good_wanted,
        Limits,
        Wanted, //
    },
    total_size, //
};
use crate::{
    engine::{
        Attribute,
        Context,
        Operations, //
    },
    machine::Machinery, //
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
    Prepare,
    PrepareRest,
    Check,
    CheckAndPrepare,
    Merge,
    Aggregate,
    Split,
    Update,
    Apply { walk: bool },
    Tune,
    ShowLatest,
    Commit(Box<Wanted>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Prepare),
        1 => Just(Step::PrepareRest),
        1 => Just(Step::Check),
        8 => Just(Step::CheckAndPrepare),
        2 => Just(Step::Merge),
        2 => Just(Step::Aggregate),
        2 => Just(Step::Split),
        1 => Just(Step::Update),
        1 => proptest::bool::ANY.prop_map(|walk| Step::Apply { walk }),
        1 => Just(Step::Tune),
        1 => Just(Step::ShowLatest),
        1 => good_wanted().prop_map(|wanted| Step::Commit(Box::new(wanted))),
    ]
}

fn take(context: &mut Context<super::Memory>, step: &Step) {
    match step {
        Step::Prepare => context.prepare(),
        Step::PrepareRest => context.prepare_rest(),
        Step::Check => context.check(),
        Step::CheckAndPrepare => context.check_and_prepare(),
        Step::Merge => context.merge(),
        Step::Aggregate => context.aggregate(&mut Counter::default()),
        Step::Split => context.split(),
        Step::Update => context.update(),
        Step::Apply { walk: false } => {
            assert!(!context.apply_schemes(&mut Counter::default(), &Machinery::default(), None));
        }
        Step::Apply { walk: true } => {
            context.apply_schemes(
                &mut Counter::default(),
                &Machinery::default(),
                Some(&mut Visits::default()),
            );
        }
        Step::Tune => context.tune(&mut Counter::default()),
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
            let max = context.attrs().params().max_nr_regions as usize;
            take(&mut context, step);
            check_invariants(&context);
            match step {
                Step::Prepare
                | Step::PrepareRest
                | Step::Check
                | Step::CheckAndPrepare
                | Step::Aggregate
                | Step::Tune
                | Step::ShowLatest => {
                    prop_assert_eq!(context.nr_regions(), nr_regions);
                    prop_assert_eq!(total_size(&context), size);
                }
                Step::Apply { .. } => {
                    // Quotas and filters split.
                    let limited = context.schemes().iter().any(|scheme| {
                        let params = scheme.params();
                        params.quota.is_set() || !params.filters.is_empty()
                    });
                    prop_assert!(limited || context.nr_regions() <= nr_regions);
                    prop_assert_eq!(total_size(&context), size);
                }
                Step::Split => {
                    prop_assert!(context.nr_regions() <= nr_regions.max(max));
                    prop_assert!(context.nr_regions() >= nr_regions);
                    prop_assert_eq!(total_size(&context), size);
                }
                Step::Merge => {
                    prop_assert_eq!(total_size(&context), size);
                }
                Step::Update | Step::Commit(_) => {}
            }
            if let Step::Merge = step {
                for region in regions(&context) {
                    prop_assert_eq!(region.nr_accesses_bp(), region.nr_accesses() * 10_000);
                }
            }
            if let Step::Prepare | Step::PrepareRest | Step::CheckAndPrepare = step {
                let prepared = regions(&context).all(|region| region.sample().is_some());
                prop_assert!(prepared || context.probes().are_weighted());
            }
            if let Step::Aggregate = step {
                for region in regions(&context) {
                    prop_assert_eq!(region.nr_accesses(), 0);
                    prop_assert_eq!(region.nr_accesses_bp(), region.last_nr_accesses() * 10_000);
                }
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
            let sizes_stay = !matches!(step, Step::Update | Step::Commit(_));
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
            for _ in 0..context.attrs().aggr_samples().min(50) {
                context.check_and_prepare();
            }
            context.merge();
            context.aggregate(&mut Counter::default());
            context.split();
            // Size limits are rounded up to the grain, and leave a rest.
            prop_assert!(context.nr_regions() <= max + 1);
            prop_assert!(context.nr_regions() >= 3);
        }
    }

    #[test]
    fn sampling_and_merging_do_not_allocate(
        wanted in good_wanted(),
        rounds in 1usize..10,
    ) {
        // Where quotas and filters split regions, room is made for them.
        let mut wanted = wanted;
        for scheme in &mut wanted.schemes {
            scheme.limits = Limits::default();
        }
        let mut context = Context::new(wanted.params().unwrap(), 7).unwrap();
        context.start();
        let ((), allocations) = with_failure(None, || {
            for _ in 0..rounds {
                context.prepare();
                context.check_and_prepare();
                context.check();
                context.apply_schemes(&mut Counter::default(), &Machinery::default(), Some(&mut Visits::default()));
                context.aggregate(&mut Counter::default());
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
                context.check_and_prepare();
                context.merge();
                context.split();
            }
            picture(&context)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn steady_state_does_not_allocate() {
    let wanted = Wanted {
        ops: super::Memory {
            grain: 4096,
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
        for _ in 0..100 {
            for _ in 0..20 {
                context.check_and_prepare();
            }
            context.merge();
            context.aggregate(&mut Counter::default());
            context.split();
            context.update();
        }
    });
    assert_eq!(allocations, 0);
}
