// SPDX-License-Identifier: GPL-2.0

//! A commit is carried out, or changes nothing.

use super::{
    check_invariants,
    memory::Memory,
    picture,
    skip_window,
    strategies::{
        any_wanted,
        good_wanted,
        Wanted, //
    },
    ticks, //
};
use crate::engine::Context;
use kernel::{
    error::code::ENOMEM,
    inject::with_failure, //
};
use proptest::prelude::{
    prop_assert,
    prop_assert_eq,
    proptest, //
};

/// A context that has seen something.
fn running(wanted: &Wanted, samples: usize) -> Context<Memory> {
    let mut context = Context::new(wanted.params().unwrap(), 1).unwrap();
    context.start();
    context.prepare();
    for sample in 0..samples {
        if sample % 7 == 6 {
            skip_window(&mut context);
        }
        ticks(&mut context, 1);
    }
    context
}

proptest! {
    #[test]
    fn without_memory_nothing_changes(
        before in good_wanted(),
        after in good_wanted(),
        samples in 0usize..30,
    ) {
        let mut context = running(&before, samples);
        let seen = picture(&context);
        for failure in 0.. {
            let params = after.params().unwrap();
            let (committed, allocations) = with_failure(Some(failure), || context.commit(params));
            check_invariants(&context);
            if allocations <= failure {
                prop_assert!(committed.is_ok());
                break;
            }
            prop_assert_eq!(committed, Err(ENOMEM));
            prop_assert_eq!(&seen, &picture(&context));
        }
    }

    #[test]
    fn a_refused_one_changes_nothing(
        before in good_wanted(),
        after in any_wanted(),
        samples in 0usize..30,
    ) {
        let mut context = running(&before, samples);
        let seen = picture(&context);
        let Ok(params) = after.params() else {
            return Ok(());
        };
        if context.commit(params).is_err() {
            prop_assert_eq!(seen, picture(&context));
        } else {
            check_invariants(&context);
            prop_assert_eq!(context.paused(), after.pause);
            prop_assert_eq!(context.attrs().params(), &after.attrs);
            prop_assert_eq!(context.schemes().len(), after.schemes.len());
            let stay = after.targets.iter().filter(|target| !target.1);
            prop_assert_eq!(context.targets().len(), stay.count());
        }
    }

    #[test]
    fn the_same_again_changes_nothing(wanted in good_wanted(), samples in 0usize..30) {
        let mut context = running(&wanted, samples);
        let seen = picture(&context);
        let mut again = wanted;
        // What tuning has made of them.
        again.attrs = *context.attrs().params();
        for target in &mut again.targets {
            target.2 = Vec::new();
        }
        let committed = context.commit(again.params().unwrap()).unwrap();
        prop_assert!(!committed.attrs_changed);
        prop_assert_eq!(seen, picture(&context));
    }
}
