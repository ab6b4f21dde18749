// SPDX-License-Identifier: GPL-2.0

//! Boxes whose making can fail.

use super::{
    AllocError,
    Flags, //
};
use crate::inject;
use std::{
    marker::Unsize,
    ops::{
        CoerceUnsized,
        Deref,
        DerefMut, //
    },
};

/// A value in memory of its own.
#[derive(Debug)]
pub struct KBox<T: ?Sized>(Box<T>);

impl<T> KBox<T> {
    /// Puts `value` into memory of its own.
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        if !inject::allocation() {
            return Err(AllocError);
        }
        Ok(Self(Box::new(value)))
    }
}

impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<KBox<U>> for KBox<T> {}

impl<T: ?Sized> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
