// SPDX-License-Identifier: GPL-2.0

//! Filters of schemes that depend on attributes of pages, and which the operations therefore
//! handle.
//!
//! A folio is filtered as a whole: it is not split for a filter, and not at the ends of a region.

use crate::{
    cast::to_u64,
    engine::{
        Attempt,
        Filter,
        FilterKind, //
    },
    mm::FolioAttributes, //
};

/// A folio, or a mapping of one, that filters are applied to.
pub(super) trait Filtered {
    /// Returns the attributes of the folio.
    fn attributes(&self) -> FolioAttributes<'_>;

    /// Returns whether there was an access since the last call, or since the sample was prepared.
    /// Clears the accesses that it finds.
    fn take_accesses(&self) -> bool;
}

/// The page filters of a scheme.
pub(super) struct PageFilters<'a> {
    filters: &'a [Filter],
    /// Whether folios that were accessed recently are rejected if no filter matches them.
    rejects_young: bool,
    /// Whether folios that no filter matches are rejected.
    rejects: bool,
}

impl<'a> PageFilters<'a> {
    /// Returns the page filters of a scheme. Everything passes if a filter of the core layer has
    /// allowed the region.
    pub(super) fn of(attempt: &Attempt<'a>) -> Self {
        let filters = &attempt.scheme.filters;
        if attempt.allowed {
            return Self {
                filters: &[],
                rejects_young: false,
                rejects: false,
            };
        }
        Self {
            filters: filters.ops(),
            rejects_young: false,
            rejects: filters.ops_default_reject(),
        }
    }

    /// Like [`Self::of`], with one more filter at the end, which rejects folios that were accessed
    /// recently. It is left out if the scheme has such a filter, or if a filter of the core layer
    /// has allowed the region.
    pub(super) fn rejecting_young(attempt: &Attempt<'a>) -> Self {
        let filters = Self::of(attempt);
        let mut kinds = filters.filters.iter().map(|filter| filter.kind);
        let has_young = kinds.any(|kind| kind == FilterKind::Young);
        Self {
            rejects_young: !attempt.allowed && !has_young,
            ..filters
        }
    }

    /// Returns whether a folio passes. The first filter that matches it decides.
    pub(super) fn pass(&self, folio: &impl Filtered) -> bool {
        for filter in self.filters {
            if is_of(filter.kind, folio) == filter.matching {
                return filter.allow;
            }
        }
        if self.rejects_young && folio.take_accesses() {
            return false;
        }
        !self.rejects
    }
}

/// Returns whether a folio is of the kind that a filter is for.
fn is_of(kind: FilterKind, folio: &impl Filtered) -> bool {
    let attributes = folio.attributes();
    match kind {
        FilterKind::Anon => attributes.is_anon(),
        FilterKind::Active => attributes.is_active(),
        FilterKind::Memcg(id) => attributes.memcg() == Some(id),
        FilterKind::Young => folio.take_accesses(),
        FilterKind::HugepageSize(sizes) => sizes.contains(to_u64(attributes.size())),
        FilterKind::Unmapped => !attributes.is_mapped(),
        // The core layer handles these.
        FilterKind::Addr(_) | FilterKind::Target(_) => false,
    }
}
