// SPDX-License-Identifier: GPL-2.0

//! The identity of a place in which accesses are recorded.

/// The identity of a place in which accesses are recorded: a page table entry with its accessed
/// bit, or a folio with its idle flag. It is the address of the entry or folio, which is unique as
/// long as the place exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordId(usize);

impl RecordId {
    /// No place has this address.
    pub(crate) const NONE: Self = Self(usize::MAX);

    #[inline]
    pub(crate) const fn from_addr(addr: usize) -> Self {
        Self(addr)
    }

    #[inline]
    pub(crate) const fn addr(self) -> usize {
        self.0
    }
}
