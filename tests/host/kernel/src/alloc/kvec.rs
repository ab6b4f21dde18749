// SPDX-License-Identifier: GPL-2.0

//! Vectors whose growth can fail.

use super::{
    AllocError,
    Allocator,
    Flags,
    KVmalloc,
    Kmalloc,
    Vmalloc, //
};
use crate::inject;
use std::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
};

/// A vector that has room for a known number of elements, and grows only where it may fail.
#[derive(Debug)]
pub struct Vec<T, A: Allocator> {
    elements: std::vec::Vec<T>,
    capacity: usize,
    allocator: PhantomData<A>,
}

/// A vector in memory that is contiguous in the machine.
pub type KVec<T> = Vec<T, Kmalloc>;

/// A vector in memory that is contiguous in the kernel's address space.
pub type KVVec<T> = Vec<T, KVmalloc>;

/// A vector in memory that is made of single pages.
pub type VVec<T> = Vec<T, Vmalloc>;

/// There is no room for the element.
pub struct PushError<T>(pub T);

/// There is no room for the element, or no such place.
pub enum InsertError<T> {
    /// The vector is shorter.
    IndexOutOfBounds(T),
    /// There is no room.
    OutOfCapacity(T),
}

/// There is no such element.
#[derive(Debug)]
pub struct RemoveError;

impl<T> core::fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Not enough capacity")
    }
}

impl<T, A: Allocator> Vec<T, A> {
    /// An empty vector without room.
    pub const fn new() -> Self {
        Self {
            elements: std::vec::Vec::new(),
            capacity: 0,
            allocator: PhantomData,
        }
    }

    /// An empty vector with room for `capacity` elements.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.reserve(capacity, flags)?;
        Ok(vec)
    }

    /// Makes room for `additional` elements more.
    pub fn reserve(&mut self, additional: usize, _flags: Flags) -> Result<(), AllocError> {
        let needed = self.len().checked_add(additional).ok_or(AllocError)?;
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = needed.max(self.capacity * 2);
        let bytes = capacity.checked_mul(size_of::<T>()).ok_or(AllocError)?;
        if bytes > isize::MAX as usize || !inject::allocation() {
            return Err(AllocError);
        }
        self.elements
            .try_reserve_exact(capacity - self.len())
            .map_err(|_| AllocError)?;
        self.capacity = capacity;
        Ok(())
    }

    /// Number of elements that there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        &self.elements
    }

    /// The elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.elements
    }

    /// Appends an element.
    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.elements.push(value);
        Ok(())
    }

    /// Appends an element if there is room for it.
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.len() >= self.capacity {
            return Err(PushError(value));
        }
        self.elements.push(value);
        Ok(())
    }

    /// Puts an element at index `at`, in front of those from there on, if there is room for it.
    pub fn insert_within_capacity(&mut self, at: usize, value: T) -> Result<(), InsertError<T>> {
        if at > self.len() {
            return Err(InsertError::IndexOutOfBounds(value));
        }
        if self.len() >= self.capacity {
            return Err(InsertError::OutOfCapacity(value));
        }
        self.elements.insert(at, value);
        Ok(())
    }

    /// Takes out the element at index `at`.
    pub fn remove(&mut self, at: usize) -> Result<T, RemoveError> {
        if at >= self.len() {
            return Err(RemoveError);
        }
        Ok(self.elements.remove(at))
    }

    /// Takes out all elements.
    pub fn drain_all(&mut self) -> std::vec::Drain<'_, T> {
        self.elements.drain(..)
    }

    /// Drops all elements from index `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.elements.truncate(len);
    }
}

impl<T, A: Allocator> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}

impl<T: PartialEq, A: Allocator> PartialEq for Vec<T, A> {
    fn eq(&self, other: &Self) -> bool {
        self.elements == other.elements
    }
}

impl<T: PartialEq, A: Allocator> PartialEq<&[T]> for Vec<T, A> {
    fn eq(&self, other: &&[T]) -> bool {
        self.elements == *other
    }
}

impl<T: Eq, A: Allocator> Eq for Vec<T, A> {}

impl<T, A: Allocator> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.into_iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.iter_mut()
    }
}
