// SPDX-License-Identifier: GPL-2.0

//! What threads share.

use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    inject,
};
use std::ops::Deref;

/// A reference to a value that lives as long as any.
#[derive(Debug)]
pub struct Arc<T: ?Sized>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// The first reference to a value.
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        if !inject::allocation() {
            return Err(AllocError);
        }
        Ok(Self(std::sync::Arc::new(value)))
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
