// SPDX-License-Identifier: GPL-2.0

//! Converts monitoring results to new monitoring attributes.

use super::super::{
    attrs::Attrs,
    context::Context,
    operations::Operations,
    schedule::Schedule, //
};
use kernel::prelude::*;

impl<O: Operations> Context<O> {
    /// Converts all results from the attributes `old`, and restarts the aggregation window and all
    /// other intervals, like `damon_set_attrs()` does.
    pub(super) fn adapt(&mut self, old: &Attrs) {
        self.rescale(old);
        let (attrs, passed) = (&self.settings.attrs, self.progress.passed);
        self.progress.in_window = 0;
        self.progress.schedule = Schedule::new(attrs, passed);
        for scheme in &mut self.schemes {
            scheme.schedule(attrs, passed);
        }
    }

    /// Converts all counts from the attributes `old` to the current ones.
    pub(crate) fn rescale(&mut self, old: &Attrs) {
        let new = &self.settings.attrs;
        // With an interval of zero there is no ratio to convert by, so counts are only limited.
        let zero = |attrs: &Attrs| attrs.sample().0 == 0 || attrs.aggr().0 == 0;
        let convertible = !zero(old) && !zero(new);
        let window = new.window();
        for target in &mut self.targets {
            for region in target.regions.as_mut_slice() {
                if convertible {
                    region.rescale(old, new);
                }
                region.limit_rate(&window);
            }
        }
    }
}

#[kunit_tests(damon_rs_commit_attrs)]
mod tests {
    use super::{
        super::{
            super::{
                attrs::{
                    AttrsParams,
                    Micros, //
                },
                fake::{
                    params,
                    Fake, //
                },
                params::Params, //
            },
            tests::{
                counts,
                hot, //
            }, //
        },
        *, //
    };

    fn with_intervals(mut params: Params<Fake>, sample: u64, aggr: u64) -> Result<Params<Fake>> {
        params.attrs = Attrs::try_from(AttrsParams {
            sample: Micros(sample),
            aggr: Micros(aggr),
            ..AttrsParams::default()
        })?;
        Ok(params)
    }

    #[test]
    fn converts_the_results_of_the_last_window() -> Result {
        let mut context = hot(20)?;
        context.merge();
        context.start_window();
        assert_eq!(counts(&context), Some((0, 20)));
        let committed = context.commit(with_intervals(params(&[&[]], 1)?, 10_000, 100_000)?)?;
        assert!(committed.attrs_changed);
        assert_eq!(counts(&context), Some((0, 10)));
        Ok(())
    }

    #[test]
    fn gives_up_incomplete_counts() -> Result {
        let mut context = hot(20)?;
        context.merge();
        context.start_window();
        context.prepare();
        context.samples(1);
        assert_eq!(counts(&context), Some((1, 20)));
        context.commit(with_intervals(params(&[&[]], 1)?, 10_000, 100_000)?)?;
        assert_eq!(counts(&context), Some((0, 10)));
        Ok(())
    }

    #[test]
    fn cuts_counts_down_where_an_interval_is_zero() -> Result {
        let mut context = hot(20)?;
        context.commit(with_intervals(params(&[&[]], 1)?, 0, 7)?)?;
        assert_eq!(counts(&context), Some((7, 0)));
        Ok(())
    }
}
