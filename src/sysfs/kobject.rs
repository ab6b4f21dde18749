// SPDX-License-Identifier: GPL-2.0

//! Directories and files in sysfs.
//!
//! A type that implements [`Directory`] states its files in a table ([`files!`]). [`Dir::new`] makes
//! a directory of that type, dropping the [`Dir`] removes it with everything below.
//!
//! What the core kernel keeps and what is ours are apart. The kobject of a directory is one that the
//! core kernel has made and will free with its own code, which may be long after the removal: with
//! `CONFIG_DEBUG_KOBJECT_RELEASE`, seconds later and after the module is gone. The data and the
//! attributes of a directory live in its [`Dir`], and the kernel reaches them through the files only.
//! Removing a directory waits for all that is inside of a file's functions, and lets nobody in
//! again, an open file included. What follows from that for locks is written in [`super`].
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

pub mod parameters;
mod text;

use text::c_str;
pub(super) use text::{
    bytes,
    Input,
    Integer,
    Page, //
};

use crate::{
    debug,
    kdamond::ecanceled, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    container_of,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CStrExt,
    sync::Arc, //
};

/// A directory that is there for `'a`.
///
/// # Invariants
///
/// The pointer is to a kobject that has been added to sysfs, and of which a reference is held for
/// all of `'a`.
#[derive(Clone, Copy)]
pub(super) struct Place<'a>(NonNull<bindings::kobject>, PhantomData<&'a ()>);

impl Place<'static> {
    /// The `mm` directory of the kernel.
    ///
    /// Fails with `ENOENT` if it was not found, as the kernel does not export it.
    pub(super) fn mm() -> Result<Self> {
        // INVARIANT: The kernel makes this directory when it boots, and never removes it.
        crate::mm::symbols::mm_kobj()
            .map(|kobj| Self(kobj, PhantomData))
            .ok_or(ENOENT)
    }
}

/// A kobject that is a directory, and nothing else. Dropping it removes the directory.
///
/// # Invariants
///
/// The pointer is to a kobject that `kobject_create_and_add` has returned, and the reference that
/// came with it is ours.
struct Entry(NonNull<bindings::kobject>);

impl Entry {
    fn new(parent: Place<'_>, name: &CStr) -> Result<Self> {
        // SAFETY: `name` is a C string, and `parent` is a kobject in sysfs by the type invariants
        // of `Place`.
        let kobj =
            unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), parent.0.as_ptr()) };
        // INVARIANT: The pointer is what the function has returned, with the reference.
        // The function does not say what it failed for; there is no memory, or the name is taken.
        NonNull::new(kobj).map(Self).ok_or(ENOMEM)
    }

    fn place(&self) -> Place<'_> {
        // INVARIANT: The kobject has been added, and `self` holds a reference for the lifetime.
        Place(self.0, PhantomData)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: The kobject was added and has not been removed, and we have a reference.
        unsafe { bindings::kobject_del(self.0.as_ptr()) };
        // SAFETY: By the type invariants the reference is ours, and it is not used again.
        unsafe { bindings::kobject_put(self.0.as_ptr()) };
    }
}

/// A value behind a file.
pub(super) trait Value {
    /// Writes what a reader of the file gets.
    fn show(&self, page: &mut Page<'_>) -> Result;

    /// Takes what was written to the file. On failure the old value stays.
    fn store(&self, input: &Input<'_>) -> Result {
        let _ = input;
        // A file without write permission cannot be opened for writing, so that nobody sees this.
        Err(EACCES)
    }
}

/// The lockdep class of the files that one row of a table describes.
///
/// A store to a file may remove other directories, which waits for the functions of their files.
/// Files of one class would look as if one of them waited for itself.
#[repr(transparent)]
pub(super) struct Key(UnsafeCell<bindings::lock_class_key>);

// SAFETY: Nothing but lockdep accesses what is inside, and it has locks of its own.
unsafe impl Sync for Key {}

impl Key {
    pub(super) const fn new() -> Self {
        // SAFETY: A lock class key of zeroes is what a static one starts as in C.
        Self(UnsafeCell::new(unsafe { core::mem::zeroed() }))
    }
}

/// One row of a directory type's table: a file.
pub(super) struct File<T: ?Sized> {
    name: &'static CStr,
    mode: u16,
    key: &'static Key,
    value: fn(&T) -> &dyn Value,
    /// What a store fails with, whatever was the reason, if it is not to tell the reasons apart.
    error: Option<Error>,
}

impl<T> File<T> {
    /// A file to read and write.
    pub(super) const fn rw(
        name: &'static CStr,
        key: &'static Key,
        value: fn(&T) -> &dyn Value,
    ) -> Self {
        Self {
            name,
            mode: 0o600,
            key,
            value,
            error: None,
        }
    }

    /// A file to read and write. Every bad value is `EINVAL`, numbers that are too large included.
    pub(super) const fn rw_einval(
        name: &'static CStr,
        key: &'static Key,
        value: fn(&T) -> &dyn Value,
    ) -> Self {
        Self {
            error: Some(EINVAL),
            ..Self::rw(name, key, value)
        }
    }

    /// A file to read.
    pub(super) const fn ro(
        name: &'static CStr,
        key: &'static Key,
        value: fn(&T) -> &dyn Value,
    ) -> Self {
        Self {
            mode: 0o400,
            ..Self::rw(name, key, value)
        }
    }
}

/// States the files of a directory type, one a line: kind, name, and where the value is.
macro_rules! files {
    ($dir:ty { $($kind:ident $name:literal: $value:expr;)* }) => {{
        static FILES: &[$crate::sysfs::kobject::File<$dir>] = &[$({
            static KEY: $crate::sysfs::kobject::Key = $crate::sysfs::kobject::Key::new();
            $crate::sysfs::kobject::File::$kind($name, &KEY, $value)
        }),*];
        FILES
    }};
}
pub(super) use files;

/// The data of a directory: values of files, and the directories inside.
pub(super) trait Directory: Sized + Send + Sync + 'static {
    /// The table of files.
    fn files() -> &'static [File<Self>];
}

/// A file of one directory.
#[repr(C)]
struct Bound<T: Directory> {
    attr: bindings::kobj_attribute,
    file: &'static File<T>,
    data: *const T,
}

/// A directory, of which `T` tells the files. Dropping it removes it with all below.
///
/// # Invariants
///
/// - Each of `files` points to its row of `T::files()` and to what `data` points to.
/// - `files` is not changed once the files are in sysfs.
// Fields are dropped in this order: what the functions of files use goes when no file is left.
pub(super) struct Dir<T: Directory> {
    entry: Entry,
    files: KVec<Bound<T>>,
    data: Arc<T>,
}

// SAFETY: A kobject may be removed and released by any thread, and `files` points to constants and
// to data that all threads may share.
unsafe impl<T: Directory> Send for Dir<T> {}

// SAFETY: A shared `Dir` gives access to its data and to its kobject's pointer, which is only used
// to add directories. All threads may do that.
unsafe impl<T: Directory> Sync for Dir<T> {}

impl<T: Directory> Dir<T> {
    /// Makes a directory. `data` builds what is in it, and may make directories inside.
    ///
    /// The files come last, so that nobody is in their functions before everything is there.
    pub(super) fn new(
        parent: Place<'_>,
        name: &CStr,
        data: impl FnOnce(Place<'_>) -> Result<T>,
    ) -> Result<Self> {
        let entry = Entry::new(parent, name)?;
        let data = Arc::new(data(entry.place())?, GFP_KERNEL)?;
        let mut files = KVec::with_capacity(T::files().len(), GFP_KERNEL)?;
        for file in T::files() {
            let bound = Bound {
                attr: attribute::<T>(file),
                file,
                data: Arc::as_ptr(&data),
            };
            files.push_within_capacity(bound)?;
        }
        // INVARIANT: All of `files` was just made so. From here on dropping removes the files that
        // are there before it frees them.
        let dir = Self { entry, files, data };
        for bound in &dir.files {
            // SAFETY: The kobject is in sysfs. The attribute stays where it is, unchanged, until
            // `entry` is dropped by the type invariants and the order of the fields.
            let err = unsafe {
                bindings::sysfs_create_file_ns(
                    dir.entry.0.as_ptr(),
                    &raw const bound.attr.attr,
                    ptr::null(),
                )
            };
            to_result(err)?;
        }
        Ok(dir)
    }

    /// Where directories inside of this one are made.
    pub(super) fn place(&self) -> Place<'_> {
        self.entry.place()
    }

    /// The data, to share.
    pub(super) fn data(&self) -> &Arc<T> {
        &self.data
    }
}

impl<T: Directory> Deref for Dir<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

fn attribute<T: Directory>(file: &File<T>) -> bindings::kobj_attribute {
    let mut attr = bindings::kobj_attribute::default();
    // SAFETY: The attribute is ours. Each function is one of that kind of file.
    unsafe {
        crate::bindings::damon_rs_helper_kobj_attribute(
            &raw mut attr,
            Some(show::<T>),
            Some(store::<T>),
        );
    };
    attr.attr.name = file.name.as_char_ptr();
    attr.attr.mode = file.mode;
    set_key(&mut attr.attr, file.key);
    attr
}

#[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
fn set_key(attr: &mut bindings::attribute, key: &'static Key) {
    attr.key = key.0.get();
}

#[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
fn set_key(_: &mut bindings::attribute, _: &'static Key) {}

/// Finds the file and the data of a directory.
///
/// # Safety
///
/// `attr` must be the attribute of a [`Bound<T>`] of a [`Dir<T>`] that is not dropped for all of
/// `'a`.
unsafe fn bound<'a, T: Directory>(attr: *mut bindings::kobj_attribute) -> (&'a File<T>, &'a T) {
    // SAFETY: By the safety requirements this is inside of a `Bound<T>`.
    let bound: *mut Bound<T> = unsafe { container_of!(attr, Bound<T>, attr) };
    // SAFETY: The `Dir<T>` is there, and does not change its `files` by its type invariants.
    let bound = unsafe { &*bound };
    // SAFETY: By the type invariants of `Dir<T>` this points to its data.
    (bound.file, unsafe { &*bound.data })
}

/// Reads a file.
///
/// # Safety
///
/// As [`bound`], for the duration of the call; and `buf` must be a page of initialised memory that
/// nobody else uses.
unsafe extern "C" fn show<T: Directory>(
    _: *mut bindings::kobject,
    attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: sysfs calls this for our attributes only, and removing the directory waits for it.
    let (file, data) = unsafe { bound::<T>(attr) };
    // SAFETY: sysfs hands over a cleared page that is ours for the duration of the call.
    let mut page = unsafe { Page::from_raw(buf) };
    from_result(|| {
        (file.value)(data).show(&mut page)?;
        Ok(isize::try_from(page.len())?)
    })
}

/// Writes a file.
///
/// # Safety
///
/// As [`bound`], for the duration of the call; `kobj` must be the kobject of that directory, and
/// `buf` point to `count` initialised bytes and a NUL.
unsafe extern "C" fn store<T: Directory>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::kobj_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: sysfs calls this for our attributes only, and removing the directory waits for it.
    let (file, data) = unsafe { bound::<T>(attr) };
    // SAFETY: sysfs puts a NUL behind what was written, which is no more than a page.
    let text = unsafe { core::slice::from_raw_parts(buf, count.saturating_add(1)) };
    from_result(|| {
        // A writer may have put a NUL before that one.
        let text = CStr::from_bytes_until_nul(text).map_err(|_| EINVAL)?;
        // INVARIANT: The file's directory is in sysfs, and it is not removed before we return.
        let place = Place(NonNull::new(kobj).ok_or(EINVAL)?, PhantomData);
        let stored = (file.value)(data).store(&Input::new(text, place));
        stored.map_err(|err| {
            let err = file.error.unwrap_or(err);
            refused(place, file.name, text, err);
            err
        })?;
        Ok(isize::try_from(count)?)
    })
}

/// Tells the debug log what was refused, and why as far as the error tells.
fn refused(place: Place<'_>, file: &CStr, text: &CStr, err: Error) {
    // SAFETY: By the type invariants the kobject has been added, so that it and all above have names.
    let path = unsafe { bindings::kobject_get_path(place.0.as_ptr(), bindings::GFP_KERNEL) };
    // SAFETY: The function returns a C string that is ours.
    let known = NonNull::new(path).and_then(|path| unsafe { c_str(path) });
    let (dir, errno, reason) = (known.unwrap_or(c"?"), err.to_errno(), reason(err));
    debug!("{dir}/{file}: refused with error {errno}, {reason}: {text:?}");
    // SAFETY: The string was allocated by `kmalloc`, if at all, and is not used any more.
    unsafe { bindings::kfree(path.cast()) };
}

/// What an error means for who writes to a file.
fn reason(err: Error) -> &'static str {
    match err {
        EINVAL => "not a value that it takes, or not with those of other files",
        ERANGE => "too large",
        EBUSY => "a kdamond runs or is being started, or directories are being changed",
        EPERM => "it has ended",
        EINTR => "interrupted by a signal",
        ENOMEM => "no memory, more than there can be, or a scheme that is not acceptable",
        ENODEV => "it is being removed",
        err if err == ecanceled() => "it has ended, is paused, or lets all schemes rest",
        _ => "as the message before this one says",
    }
}
