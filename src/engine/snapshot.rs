// SPDX-License-Identifier: GPL-2.0

//! The results of the last complete aggregation window, reported without waiting for the schemes.
//!
//! A walk takes until each scheme was due. If all schemes only show the regions that match their
//! access patterns, the same results are available at once. The access counts and probe hits of the
//! last window are kept for the pseudo moving sums, and ages do not change until the window ends.
//!
//! Only the regions have changed, as they were split after the aggregation. The parts still have
//! equal results. Adjacent regions with equal results are therefore merged. This may also join
//! regions that were distinct before, which loses no information.

use super::{
    context::{
        Context,
        Target, //
    },
    events::{
        Tried,
        Walker, //
    },
    operations::Operations,
    regions::{
        merge::join,
        region::Region, //
    },
    scheme::Scheme, //
};
use crate::panic_free::indexed;
use kernel::prelude::*;

/// Iterates over the regions of a target as they were at the end of the last complete window.
struct Aggregated<'a> {
    regions: core::slice::Iter<'a, Region>,
    next: Option<Region>,
    /// Largest size of a region, in the unit of addresses.
    size_limit: u64,
}

impl<'a> Aggregated<'a> {
    fn new(regions: &'a [Region], size_limit: u64) -> Self {
        let mut regions = regions.iter();
        let next = regions.next().map(Region::as_aggregated);
        Self {
            regions,
            next,
            size_limit,
        }
    }
}

impl Iterator for Aggregated<'_> {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        let mut region = self.next.take()?;
        for right in self.regions.by_ref() {
            let right = right.as_aggregated();
            if !join(&mut region, &right, self.size_limit) {
                self.next = Some(right);
                break;
            }
        }
        Some(region)
    }
}

impl<O: Operations> Context<O> {
    /// Calls `walker` for each region that each scheme would have been tried on at the end of the
    /// last complete window. Does not change the statistics of the schemes.
    ///
    /// Returns `false` without a call if only a walk can provide the results. This is the case
    /// while the context is paused, if it has no scheme, if a scheme does more than to show the
    /// regions that match its pattern or is due more often than the aggregation, and until a window
    /// has ended for all targets.
    pub fn show_latest(&self, walker: &mut dyn Walker) -> bool {
        if !self.has_latest() {
            return false;
        }
        let nr_probes = self.settings.probes.len();
        for (index, target) in indexed(&self.targets) {
            if !self.settings.ops.is_valid(&target.space) {
                continue;
            }
            for region in Aggregated::new(target.regions(), self.progress.size_limit) {
                let nr_accesses = region.nr_accesses();
                for (scheme_index, scheme) in indexed(&self.schemes) {
                    if scheme.is_resting() || !scheme.params().pattern.matches(&region, nr_accesses)
                    {
                        continue;
                    }
                    walker.visit(&Tried {
                        target: index,
                        scheme: scheme_index,
                        region: &region,
                        nr_accesses,
                        probe_hits: region.probe_hits().get(..nr_probes).unwrap_or(&[]),
                        sz_filter_passed: 0,
                    });
                }
            }
        }
        true
    }

    fn has_latest(&self) -> bool {
        let aggr = self.settings.attrs.aggr();
        let shows = |scheme: &Scheme| {
            let interval = scheme.params().apply_interval;
            scheme.params().only_shows() && (interval.0 == 0 || interval >= aggr)
        };
        let has_window = |target: &Target<O::Space>| target.aggregated;
        !self.paused()
            && !self.schemes.is_empty()
            && self.schemes.iter().all(shows)
            && self.targets.iter().all(has_window)
    }
}

#[kunit_tests(damon_rs_snapshot)]
mod tests {
    use super::{
        super::{
            attrs::Micros,
            fake::{
                params,
                with_scheme,
                Fake,
                FakeMetrics,
                NoEvents, //
            },
            pattern::{
                AccessPattern,
                Action,
                MinMax, //
            },
            regions::region::tests::region,
            scheme::SchemeParams, //
        },
        *, //
    };
    use crate::cast::to_u64;

    const ALL: MinMax<u32> = AccessPattern::ANY.nr_accesses;

    fn scheme(nr_accesses: MinMax<u32>, apply_interval: Micros) -> SchemeParams {
        let pattern = AccessPattern {
            nr_accesses,
            ..AccessPattern::ANY
        };
        SchemeParams {
            apply_interval,
            ..SchemeParams::new(pattern, Action::Stat)
        }
    }

    /// A visited region: target, scheme, start, end, access rate and age.
    type Shown = (usize, usize, u64, u64, u32, u32);

    #[derive(Default)]
    struct Visited(KVec<Shown>);

    impl Walker for Visited {
        fn visit(&mut self, tried: &Tried<'_>) {
            let region = tried.region;
            let shown = (
                tried.target,
                tried.scheme,
                region.start(),
                region.end(),
                tried.nr_accesses,
                region.age(),
            );
            let _ = self.0.push(shown, GFP_KERNEL);
        }
    }

    impl Visited {
        fn is(&self, list: &[Shown]) -> bool {
            self.0.iter().eq(list)
        }
    }

    /// Returns a context with an idle and a hot target, a scheme for all memory and one for hot
    /// memory.
    fn context() -> Result<Context<Fake>> {
        let params = params(&[&[(0, 100)], &[(0, 100)]], 1)?;
        let hot = MinMax { min: 5, max: 20 };
        let params = with_scheme(params, scheme(ALL, Micros(0)))?;
        let params = with_scheme(params, scheme(hot, Micros::from_secs(10)))?;
        let mut context = Context::new(params, 0)?;
        context.start();
        context.prepare();
        Ok(context)
    }

    fn aggregate(context: &mut Context<Fake>) {
        for _ in 0..20 {
            let tick = context.begin_tick();
            context.finish_tick(tick, &mut NoEvents, &FakeMetrics::default(), None);
        }
    }

    fn shown(context: &Context<Fake>) -> Result<Visited> {
        let mut visited = Visited::default();
        if context.show_latest(&mut visited) {
            Ok(visited)
        } else {
            Err(EINVAL)
        }
    }

    #[test]
    fn shows_the_results_of_a_walk_at_the_last_aggregation() -> Result {
        let mut context = context()?;
        aggregate(&mut context);
        aggregate(&mut context);
        // The next window ends with a walk.
        context.samples(20);
        context.merge();
        context.start_window();
        let mut walk = Visited::default();
        context.begin_walk();
        let tried = context
            .schemes()
            .iter()
            .map(|its| its.stat().nr_tried)
            .sum::<u64>();
        context.apply_schemes(&mut NoEvents, &FakeMetrics::default(), Some(&mut walk));
        let first = walk.0.iter().copied().filter(|shown| shown.1 == 0);
        context.split();
        // Samples of the next window do not change the results.
        context.samples(7);
        let visited = shown(&context)?;
        assert!(visited
            .0
            .iter()
            .copied()
            .filter(|shown| shown.1 == 0)
            .eq(first));
        // The second scheme is not due for a long time, and shows the hot region.
        let mut second = visited.0.iter().filter(|shown| shown.1 == 1);
        assert!(second.all(|(target, _, _, _, accesses, _)| (*target, *accesses) == (1, 20)));
        let covered = visited.0.iter().filter(|shown| shown.1 == 1);
        assert_eq!(covered.map(|shown| shown.3 - shown.2).sum::<u64>(), 100);
        // The statistics do not change.
        let stats = context
            .schemes()
            .iter()
            .map(|scheme| scheme.stat().nr_tried);
        assert!(stats.eq([tried + to_u64(walk.0.len()), 0]));
        Ok(())
    }

    #[test]
    fn puts_pieces_together() -> Result {
        let list = [
            region(0, 10, 0, 4, 2)?,
            region(10, 20, 3, 4, 2)?,
            region(20, 30, 0, 4, 3)?,
            region(40, 50, 0, 4, 3)?,
            region(50, 60, 0, 5, 3)?,
            region(60, 75, 0, 5, 3)?,
        ];
        let aggregated = Aggregated::new(&list, 24);
        let places = aggregated.map(|region| (region.start(), region.end(), region.nr_accesses()));
        assert!(places.eq([
            (0, 20, 4),
            (20, 30, 4),
            (40, 50, 4),
            (50, 60, 5),
            (60, 75, 5)
        ]));
        assert!(Aggregated::new(&[], 24).next().is_none());
        Ok(())
    }

    #[test]
    fn a_walk_is_needed_before_the_first_aggregation() -> Result {
        let mut context = context()?;
        assert!(shown(&context).is_err());
        aggregate(&mut context);
        assert!(shown(&context).is_ok());
        // A target that is added has no complete window yet.
        let more = params(&[&[], &[], &[(0, 50)]], 1)?;
        context.commit(with_scheme(more, scheme(ALL, Micros(0)))?)?;
        assert!(shown(&context).is_err());
        aggregate(&mut context);
        assert!(shown(&context).is_ok());
        Ok(())
    }

    #[test]
    fn a_walk_is_needed_for_pauses_actions_and_short_intervals() -> Result {
        let with = |scheme: Option<SchemeParams>, pause| -> Result<bool> {
            let mut context = context()?;
            aggregate(&mut context);
            let mut params = params(&[&[], &[]], 1)?;
            params.pause = pause;
            if let Some(scheme) = scheme {
                params = with_scheme(params, scheme)?;
            }
            context.commit(params)?;
            Ok(shown(&context).is_ok())
        };
        let plain = || scheme(ALL, Micros(0));
        assert!(with(Some(plain()), false)?);
        assert!(!with(None, false)?);
        assert!(!with(Some(plain()), true)?);
        let acting = SchemeParams {
            action: Action::Pageout,
            ..plain()
        };
        assert!(!with(Some(acting), false)?);
        assert!(with(Some(scheme(ALL, Micros::from_millis(100))), false)?);
        assert!(!with(Some(scheme(ALL, Micros::from_millis(99))), false)?);
        Ok(())
    }

    #[test]
    fn a_resting_scheme_shows_nothing() -> Result {
        let mut context = context()?;
        aggregate(&mut context);
        for scheme in &mut context.schemes {
            scheme.params.max_nr_snapshots = 1;
            scheme.state.stat.count_snapshot();
        }
        assert!(shown(&context)?.is(&[]));
        Ok(())
    }
}
