// SPDX-License-Identifier: GPL-2.0

//! Conversions without loss between `usize` and `u64`, which `core` does not offer: it also
//! supports machines whose addresses have 16 or 128 bits.

use kernel::page::PAGE_SIZE as PAGE;

// The module is built for 64-bit machines only.
const _: () = ::core::assert!(size_of::<usize>() == size_of::<u64>());

/// The size of a page in bytes.
pub(crate) const PAGE_SIZE: u64 = to_u64(PAGE);

/// Converts without loss.
#[inline(always)]
pub(crate) const fn to_u64(n: usize) -> u64 {
    // CAST: Both types have 64 bits.
    n as u64
}

/// Converts without loss.
#[inline(always)]
pub(crate) const fn to_usize(n: u64) -> usize {
    // CAST: Both types have 64 bits.
    n as usize
}
