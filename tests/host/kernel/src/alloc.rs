// SPDX-License-Identifier: GPL-2.0

//! Memory allocation.

pub mod kbox;
pub mod kvec;

pub use self::{
    kbox::KBox,
    kvec::{
        KVVec,
        KVec,
        VVec,
        Vec, //
    },
};

/// There is no memory.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct AllocError;

/// How to allocate.
#[derive(Clone, Copy, PartialEq)]
pub struct Flags(u32);

/// The ways to allocate.
pub mod flags {
    use super::Flags;

    /// May sleep.
    pub const GFP_KERNEL: Flags = Flags(0);
}

/// Where memory comes from.
pub trait Allocator {}

/// Memory that is contiguous in the machine.
#[derive(Debug)]
pub struct Kmalloc;

/// Memory that may be contiguous in the kernel's address space only.
pub struct KVmalloc;

/// Memory that is made of single pages.
pub struct Vmalloc;

impl Allocator for Kmalloc {}
impl Allocator for KVmalloc {}
impl Allocator for Vmalloc {}
