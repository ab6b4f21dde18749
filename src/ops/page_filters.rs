// SPDX-License-Identifier: GPL-2.0

//! The filters of schemes that take a look at pages.
//!
//! A folio is looked at as a whole: it is not split for a filter, nor at the ends of a region.

use crate::{
    engine::{
        Attempt,
        Filter,
        FilterKind, //
    },
    mm::FolioAttributes, //
};

/// A folio as filters see it.
pub(super) trait Filtered {
    /// What it is.
    fn attributes(&self) -> FolioAttributes<'_>;

    /// Whether it was accessed since this was asked for, or since it was sampled. Forgets the
    /// accesses that it finds.
    fn take_accesses(&self) -> bool;
}

/// What decides which folios an action is for.
pub(super) struct PageFilters<'a> {
    filters: &'a [Filter],
    /// Whether folios that were just accessed are spared if no filter says otherwise.
    spares_young: bool,
    /// What happens to folios that no filter is for.
    rejects: bool,
}

impl<'a> PageFilters<'a> {
    /// Those of a scheme. All that the core layer has allowed passes.
    pub(super) fn of(attempt: &Attempt<'a>) -> Self {
        let filters = &attempt.scheme.filters;
        if attempt.allowed {
            return Self {
                filters: &[],
                spares_young: false,
                rejects: false,
            };
        }
        Self {
            filters: filters.ops(),
            spares_young: false,
            rejects: filters.ops_default_reject(),
        }
    }

    /// As [`Self::of`], and behind the filters another one that spares what was just accessed,
    /// unless there is one for that already or the core layer has allowed everything.
    pub(super) fn sparing_young(attempt: &Attempt<'a>) -> Self {
        let filters = Self::of(attempt);
        let mut kinds = filters.filters.iter().map(|filter| filter.kind);
        let asked = kinds.any(|kind| kind == FilterKind::Young);
        Self {
            spares_young: !attempt.allowed && !asked,
            ..filters
        }
    }

    /// Whether the action is for a folio: the first filter that is decides.
    pub(super) fn pass(&self, folio: &impl Filtered) -> bool {
        for filter in self.filters {
            if is_of(filter.kind, folio) == filter.matching {
                return filter.allow;
            }
        }
        if self.spares_young && folio.take_accesses() {
            return false;
        }
        !self.rejects
    }
}

/// Whether a folio is of a kind.
fn is_of(kind: FilterKind, folio: &impl Filtered) -> bool {
    let attributes = folio.attributes();
    match kind {
        FilterKind::Anon => attributes.is_anon(),
        FilterKind::Active => attributes.is_active(),
        FilterKind::Memcg(id) => attributes.memcg() == Some(id),
        FilterKind::Young => folio.take_accesses(),
        // CAST: Both have 64 bits.
        FilterKind::HugepageSize(sizes) => sizes.contains(attributes.size() as u64),
        FilterKind::Unmapped => !attributes.is_mapped(),
        // Of these the core layer has taken care.
        FilterKind::Addr(_) | FilterKind::Target(_) => false,
    }
}
