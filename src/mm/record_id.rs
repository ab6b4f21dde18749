// SPDX-License-Identifier: GPL-2.0

//! The identity of a place in which accesses are recorded.

use crate::cast::to_u64;

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

    /// Returns a number whose highest bits depend on all bits of the address.
    #[inline]
    pub(crate) const fn hash(self) -> u64 {
        // Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4): 2^64
        // divided by the golden ratio.
        to_u64(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
