// SPDX-License-Identifier: GPL-2.0

//! The kobject of an existing directory.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*, //
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
