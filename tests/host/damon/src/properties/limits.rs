// SPDX-License-Identifier: GPL-2.0

//! Any number anywhere: overflows would panic, absurd limits would take for ever.

use super::{
    check_invariants,
    memory::Visits,
    skip_window,
    strategies::any_wanted,
    tick, //
};
use crate::{
    engine::{
        Context,
        MAX_REGIONS, //
    },
    metrics::FakeMetrics, //
};
use proptest::{
    prelude::{
        prop_assert,
        prop_assume,
        proptest,
        ProptestConfig, //
    },
    test_runner::Config, //
};

proptest! {
    // Refused parameters do not count as a case.
    #![proptest_config(ProptestConfig {
        max_global_rejects: 10_000,
        ..Config::default()
    })]

    #[test]
    fn nothing_overflows(wanted in any_wanted(), other in any_wanted()) {
        let context = wanted.params().and_then(|params| Context::new(params, 1));
        prop_assume!(context.is_ok());
        let Ok(mut context) = context else {
            return Ok(());
        };
        context.start();
        check_invariants(&context);
        // Each target's last region is a rest.
        prop_assert!(context.nr_regions() <= MAX_REGIONS + 100);
        context.prepare();
        for _ in 0..3 {
            skip_window(&mut context);
            context.begin_walk();
            tick(&mut context, &FakeMetrics::default(), Some(&mut Visits::default()));
            context.update();
            check_invariants(&context);
        }
        if let Ok(params) = other.params() {
            let _ = context.commit(params);
        }
        check_invariants(&context);
        tick(&mut context, &FakeMetrics::default(), None);
    }
}
