// SPDX-License-Identifier: GPL-2.0

//! Probes for data attributes of memory.
//!
//! At each sample, a probe tests the page at the sampling address for data attributes: whether it
//! is anonymous, or belongs to a memory cgroup. Each region counts the hits of each probe over an
//! aggregation window, as it counts accesses. A page is a hit if the filters of the probe allow it.
//! The first filter that matches decides. A page that no filter matches gets the opposite of the
//! last filter's decision.
//!
//! A probe may have a weight. If at least one probe has, accesses are not checked. Regions are then
//! compared by the weighted sum of their hits.

use super::{
    attrs::Attrs,
    num::narrow,
    regions::{
        rate::SampleWindow,
        region::{
            ProbeHits,
            Region,
            MAX_PROBES, //
        }, //
    }, //
};
use kernel::prelude::*;

/// The data attributes of a page that filters test.
pub trait PageAttributes {
    /// Returns whether the page is anonymous.
    fn is_anon(&self) -> bool;

    /// Returns the memcg ID of the memory cgroup that the page is charged to, if any. An ID is
    /// never reused.
    fn memcg(&self) -> Option<u64>;
}

/// A data attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// Anonymous memory.
    Anon,
    /// Memory of the memory cgroup with this memcg ID.
    Memcg(u64),
}

impl Attribute {
    fn is_of<P: PageAttributes>(self, page: &P) -> bool {
        match self {
            Self::Anon => page.is_anon(),
            Self::Memcg(memcg) => page.memcg() == Some(memcg),
        }
    }
}

/// A filter of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeFilter {
    /// The data attribute.
    pub attribute: Attribute,
    /// `true`: the filter matches memory with the attribute; `false`: memory without it.
    pub matching: bool,
    /// `true`: memory that matches is a hit; `false`: it is not.
    pub allow: bool,
}

/// A probe for data attributes (C: `struct damon_probe`).
///
/// ```
/// # use damon::engine::{Attribute, Probe, ProbeFilter};
/// // Counts the samples that are in memory that is not anonymous.
/// let mut probe = Probe::default();
/// let anon = ProbeFilter { attribute: Attribute::Anon, matching: true, allow: false };
/// probe.filters.push(anon, GFP_KERNEL)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Default, Debug)]
pub struct Probe {
    /// Weight of a hit in the comparison of regions. If all weights are zero, access rates are
    /// compared.
    pub weight: u32,
    /// The filters. Without filters every sample is a hit.
    pub filters: KVec<ProbeFilter>,
}

impl Probe {
    /// Returns whether `page` is a hit. `None` stands for no page, which has none of the
    /// attributes.
    fn hits<P: PageAttributes>(&self, page: Option<&P>) -> bool {
        let mut pass = true;
        for filter in &self.filters {
            let has = page.is_some_and(|page| filter.attribute.is_of(page));
            if has == filter.matching {
                return filter.allow;
            }
            pass = !filter.allow;
        }
        pass
    }

    fn has_filters_of(&self, other: &Self) -> bool {
        self.filters.iter().eq(other.filters.iter())
    }
}

/// The probes of a context.
///
/// # Invariants
///
/// There are at most [`MAX_PROBES`] probes. `weighted` is set if and only if at least one of them
/// has a weight.
#[derive(Default, Debug)]
pub struct Probes {
    list: KVec<Probe>,
    weighted: bool,
}

impl TryFrom<KVec<Probe>> for Probes {
    type Error = Error;

    /// Fails with `EINVAL` if there are more than [`MAX_PROBES`] probes.
    fn try_from(list: KVec<Probe>) -> Result<Self> {
        if list.len() > MAX_PROBES {
            return Err(EINVAL);
        }
        let weighted = list.iter().any(|probe| probe.weight != 0);
        Ok(Self { list, weighted })
    }
}

impl Probes {
    /// Returns the number of probes.
    #[inline]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there is no probe.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the probes in the order of their hits in [`ProbeHits`].
    pub fn iter(&self) -> impl Iterator<Item = &Probe> {
        self.list.iter()
    }

    /// Returns whether regions are compared by hits instead of access rates.
    #[inline]
    pub fn are_weighted(&self) -> bool {
        self.weighted
    }

    /// Fails with `EINVAL` if the probes have weights and, with these attributes, the hits of a
    /// window may exceed 8 bits or their weighted sum 32 bits.
    pub(crate) fn check(&self, attrs: &Attrs) -> Result {
        if !self.weighted {
            return Ok(());
        }
        let most = u8::try_from(attrs.aggr_samples()).map_err(|_| EINVAL)?;
        let sum = self.weigh_with(&[most.max(1); MAX_PROBES]);
        u32::try_from(sum).map(|_| ()).map_err(|_| EINVAL)
    }

    /// Returns the largest weighted sum of a region.
    pub(crate) fn max_weight(&self) -> u32 {
        self.weigh(&[u8::MAX; MAX_PROBES])
    }

    /// Returns the weighted sum of `hits`; saturates.
    pub(crate) fn weigh(&self, hits: &ProbeHits) -> u32 {
        narrow(self.weigh_with(hits))
    }

    fn weigh_with(&self, hits: &ProbeHits) -> u64 {
        // The sum of four products of 40 bits each does not overflow.
        self.list.iter().zip(hits).fold(0, |sum: u64, (probe, n)| {
            sum.saturating_add(u64::from(probe.weight).saturating_mul(u64::from(*n)))
        })
    }

    /// Evaluates all probes for the page of a region's sample, and counts their hits.
    pub(crate) fn count_hits<P: PageAttributes>(
        &self,
        window: &SampleWindow,
        region: &mut Region,
        page: Option<&P>,
    ) {
        for (index, probe) in (0..MAX_PROBES).zip(&self.list) {
            if probe.hits(page) {
                region.count_hit(window, index);
            }
        }
    }

    /// Returns which hits have another meaning than those that were counted with the probes `old`.
    pub(crate) fn differ_from(&self, old: &Self) -> [bool; MAX_PROBES] {
        let mut differ = [true; MAX_PROBES];
        let both = self.list.iter().zip(&old.list);
        for (differs, (new, old)) in differ.iter_mut().zip(both) {
            *differs = !new.has_filters_of(old);
        }
        differ
    }
}

#[kunit_tests(damon_rs_probe)]
pub(super) mod tests {
    use super::{
        super::{
            attrs::{
                AttrsParams,
                Micros, //
            },
            regions::region::tests::region, //
        },
        *, //
    };

    struct Page {
        anon: bool,
        memcg: u64,
    }

    impl PageAttributes for Page {
        fn is_anon(&self) -> bool {
            self.anon
        }

        fn memcg(&self) -> Option<u64> {
            (self.memcg != 0).then_some(self.memcg)
        }
    }

    const ANON: Page = Page {
        anon: true,
        memcg: 7,
    };
    const FILE: Page = Page {
        anon: false,
        memcg: 0,
    };

    /// Returns a probe with the given filters, for the tests of this layer.
    pub(crate) fn probe(weight: u32, filters: &[(Attribute, bool, bool)]) -> Result<Probe> {
        let mut list = KVec::with_capacity(filters.len(), GFP_KERNEL)?;
        for &(attribute, matching, allow) in filters {
            list.push_within_capacity(ProbeFilter {
                attribute,
                matching,
                allow,
            })?;
        }
        Ok(Probe {
            weight,
            filters: list,
        })
    }

    /// Returns probes with the given weights, for the tests of this layer.
    pub(crate) fn weights(weights: &[u32]) -> Result<Probes> {
        let mut list = KVec::with_capacity(weights.len(), GFP_KERNEL)?;
        for weight in weights {
            list.push_within_capacity(probe(*weight, &[])?)?;
        }
        Probes::try_from(list)
    }

    fn outcomes(filters: &[(Attribute, bool, bool)]) -> Result<(bool, bool, bool)> {
        let probe = probe(0, filters)?;
        Ok((
            probe.hits(Some(&ANON)),
            probe.hits(Some(&FILE)),
            probe.hits(None::<&Page>),
        ))
    }

    #[test]
    fn without_a_filter_everything_hits() -> Result {
        assert_eq!(outcomes(&[])?, (true, true, true));
        Ok(())
    }

    #[test]
    fn one_filter_decides_about_everything() -> Result {
        let anon = |matching, allow| outcomes(&[(Attribute::Anon, matching, allow)]);
        assert_eq!(anon(true, true)?, (true, false, false));
        assert_eq!(anon(true, false)?, (false, true, true));
        assert_eq!(anon(false, true)?, (false, true, true));
        assert_eq!(anon(false, false)?, (true, false, false));
        Ok(())
    }

    #[test]
    fn a_group_is_identified_by_its_number() -> Result {
        let memcg = |memcg| outcomes(&[(Attribute::Memcg(memcg), true, true)]);
        assert_eq!(memcg(7)?, (true, false, false));
        assert_eq!(memcg(8)?, (false, false, false));
        // Zero is no memcg ID, and does not match memory without a memory cgroup.
        assert_eq!(memcg(0)?, (false, false, false));
        Ok(())
    }

    #[test]
    fn the_first_filter_that_matches_decides() -> Result {
        let reject_anon = (Attribute::Anon, true, false);
        let allow_group = (Attribute::Memcg(7), true, true);
        assert_eq!(
            outcomes(&[reject_anon, allow_group])?,
            (false, false, false)
        );
        assert_eq!(outcomes(&[allow_group, reject_anon])?, (true, true, true));
        Ok(())
    }

    #[test]
    fn counts_hits_of_each_probe() -> Result {
        let mut list = KVec::new();
        list.push(probe(0, &[(Attribute::Anon, true, true)])?, GFP_KERNEL)?;
        list.push(probe(0, &[])?, GFP_KERNEL)?;
        let probes = Probes::try_from(list)?;
        let mut region = region(0, 10, 0, 0, 0)?;
        let window = SampleWindow::new(100);
        probes.count_hits(&window, &mut region, Some(&ANON));
        probes.count_hits(&window, &mut region, Some(&FILE));
        assert_eq!(*region.probe_hits(), [1, 2, 0, 0]);
        for _ in 0..300 {
            probes.count_hits(&window, &mut region, None::<&Page>);
        }
        assert_eq!(*region.probe_hits(), [1, 100, 0, 0]);
        for _ in 0..300 {
            probes.count_hits(&SampleWindow::new(1000), &mut region, None::<&Page>);
        }
        assert_eq!(*region.probe_hits(), [1, 255, 0, 0]);
        Ok(())
    }

    #[test]
    fn weighs_hits() -> Result {
        let none = weights(&[0, 0])?;
        assert!(!none.are_weighted());
        let some = weights(&[0, 3, 10])?;
        assert!(some.are_weighted());
        assert_eq!(some.weigh(&[100, 2, 5, 100]), 56);
        assert_eq!(some.max_weight(), 13 * 255);
        let huge = weights(&[u32::MAX; 4])?;
        assert_eq!(huge.weigh(&[255; 4]), u32::MAX);
        Ok(())
    }

    #[test]
    fn there_are_four_at_most() -> Result {
        assert!(weights(&[0; 4]).is_ok());
        assert_eq!(weights(&[0; 5]).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn weighted_hits_must_be_countable() -> Result {
        let attrs = |aggr| {
            Attrs::try_from(AttrsParams {
                sample: Micros(10),
                aggr: Micros(aggr),
                ..AttrsParams::default()
            })
        };
        // A region can count the hits of at most 255 samples.
        assert!(weights(&[1])?.check(&attrs(2550)?).is_ok());
        assert_eq!(weights(&[1])?.check(&attrs(2560)?), Err(EINVAL));
        assert!(weights(&[0])?.check(&attrs(2560)?).is_ok());
        // The weighted sum has 32 bits.
        let most = u32::MAX / 20;
        assert!(weights(&[most])?.check(&attrs(200)?).is_ok());
        assert_eq!(weights(&[most + 1])?.check(&attrs(200)?), Err(EINVAL));
        assert_eq!(weights(&[most, 1])?.check(&attrs(200)?), Err(EINVAL));
        Ok(())
    }

    #[test]
    fn probes_differ_if_their_filters_do() -> Result {
        let list = |filters: &[(Attribute, bool, bool)]| -> Result<Probes> {
            let mut list = KVec::new();
            list.push(probe(0, filters)?, GFP_KERNEL)?;
            Probes::try_from(list)
        };
        let anon = list(&[(Attribute::Anon, true, true)])?;
        assert_eq!(anon.differ_from(&anon), [false, true, true, true]);
        let file = list(&[(Attribute::Anon, false, true)])?;
        assert_eq!(file.differ_from(&anon), [true; 4]);
        Ok(())
    }
}
