// SPDX-License-Identifier: GPL-2.0

//! The kobject of an existing directory, and the input of a store() call to one of its files.

use crate::glue::text::{
    bytes,
    same_word,
    Integer, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    str::kstrtobool, //
};

/// A borrowed kobject in which directories can be created.
///
/// # Invariants
///
/// The pointer is to a kobject that has been added to sysfs, and a reference to that kobject is
/// held for all of `'a`.
#[derive(Clone, Copy)]
pub(in crate::sysfs) struct Place<'a>(NonNull<bindings::kobject>, PhantomData<&'a ()>);

impl Place<'_> {
    /// Borrows a kobject.
    ///
    /// # Safety
    ///
    /// The pointer must be to a kobject that has been added to sysfs, and a reference to it must be
    /// held as long as the result is used.
    pub(super) unsafe fn new(kobj: NonNull<bindings::kobject>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(kobj, PhantomData)
    }

    /// Returns the kobject.
    pub(super) fn as_ptr(self) -> *mut bindings::kobject {
        self.0.as_ptr()
    }
}

impl Place<'static> {
    /// Returns `/sys/kernel/mm`.
    ///
    /// Fails with `ENOENT` if the module did not find `mm_kobj`, which the kernel does not export.
    pub(in crate::sysfs) fn mm() -> Result<Self> {
        // INVARIANT: The kernel adds `mm_kobj` to sysfs when it boots, holds a reference to it, and
        // never removes it.
        crate::mm::symbols::mm_kobj()
            .map(|kobj| Self(kobj, PhantomData))
            .ok_or(ENOENT)
    }
}

/// The input of a store() call: the text, up to the first NUL byte, and the directory of the file.
pub(in crate::sysfs) struct Input<'a> {
    text: &'a CStr,
    place: Place<'a>,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a CStr, place: Place<'a>) -> Self {
        Self { text, place }
    }

    /// Returns the directory of the file, which cannot be removed before the call returns.
    pub(in crate::sysfs) fn place(&self) -> Place<'a> {
        self.place
    }

    /// Returns the text as bytes, with newlines and without the NUL byte.
    pub(in crate::sysfs) fn bytes(&self) -> &'a [u8] {
        bytes(self.text)
    }

    /// Parses a number: decimal, hexadecimal with the prefix `0x`, or octal with the prefix `0`. A
    /// newline may follow.
    ///
    /// Fails with `EINVAL` if the text is not a number, and with `ERANGE` if the number does not
    /// fit into `T`.
    pub(in crate::sysfs) fn number<T: Integer>(&self) -> Result<T> {
        T::parse(self.text)
    }

    /// Parses a boolean as `kstrtobool()` does. Fails with `EINVAL`.
    pub(in crate::sysfs) fn boolean(&self) -> Result<bool> {
        kstrtobool(self.text)
    }

    /// Returns whether the text is `word`. A newline may follow.
    pub(in crate::sysfs) fn is(&self, word: &CStr) -> bool {
        same_word(self.text, word)
    }
}
