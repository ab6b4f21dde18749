// SPDX-License-Identifier: GPL-2.0

//! Directories and attribute files in sysfs.
//!
//! A directory type is a struct that implements [`Directory`]: its fields hold the values of the
//! files and the subdirectories, and the table that [`files!`] builds lists the files. A value
//! implements [`Value`], which provides show() and store(). [`Dir::new`] creates a directory with
//! its files and adds it to sysfs. Dropping the [`Dir`] removes it together with all directories
//! below.
//!
//! This module does not support:
//!
//! - Files with modes other than 0600 and 0400.
//! - Adding or removing single files of an existing directory.
//! - Attribute groups, binary attributes and symbolic links.
//! - Values that do not fit into one page.
//! - Notification of changes: `poll()` on a file, and uevents.
//!
//! # Lifetime
//!
//! The kobject of a directory is separate from its data. `kobject_create_and_add()` allocates the
//! kobject, and a release function of the core kernel frees it. That may happen long after the
//! directory was removed: with `CONFIG_DEBUG_KOBJECT_RELEASE`, seconds later and after the module
//! was unloaded. The [`Dir`] owns the data and the attributes, which the kernel reaches only
//! through the files. Removing a file waits until the kernfs active references to it are dropped,
//! so no show() or store() call is running afterwards. Later reads and writes fail with `ENODEV`,
//! also through a file descriptor that is still open. [`super`] lists the resulting rules for
//! locks.
//!
//! # Examples
//!
//! A directory `intervals/` with two files and the subdirectory `intervals_goal/`:
//!
//! ```ignore
//! use super::{
//!     kobject::{
//!         files,
//!         Dir,
//!         Directory,
//!         File, //
//!     },
//!     values::Number, //
//! };
//!
//! /// `intervals/`
//! struct Intervals {
//!     sample_us: Number<u64>,
//!     aggr_us: Number<u64>,
//!     goal: Dir<Goal>,
//! }
//!
//! impl Directory for Intervals {
//!     fn files() -> &'static [File<Self>] {
//!         files!(Intervals {
//!             rw c"sample_us": |intervals| &intervals.sample_us;
//!             rw c"aggr_us": |intervals| &intervals.aggr_us;
//!         })
//!     }
//! }
//!
//! /// `intervals_goal/`
//! struct Goal {
//!     access_bp: Number<u64>,
//! }
//!
//! impl Directory for Goal {
//!     fn files() -> &'static [File<Self>] {
//!         files!(Goal {
//!             rw c"access_bp": |goal| &goal.access_bp;
//!         })
//!     }
//! }
//!
//! // Both directories and all files exist when this returns.
//! let intervals = Dir::new(parent, c"intervals", |place| {
//!     let goal = Goal {
//!         access_bp: Number::new(0),
//!     };
//!     Ok(Intervals {
//!         sample_us: Number::new(5_000),
//!         aggr_us: Number::new(100_000),
//!         goal: Dir::new(place, c"intervals_goal", |_| Ok(goal))?,
//!     })
//! })?;
//!
//! // A `Dir` dereferences to the data. The user may have stored another value.
//! let sample_us = intervals.sample_us.get();
//! ```
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

mod place;

pub(super) use place::{
    Input,
    Place, //
};

pub(super) use crate::glue::text::{
    bytes,
    Integer,
    Page, //
};
use crate::{
    debug,
    errno::ecanceled,
    glue::text::c_str, //
};
use core::{
    cell::UnsafeCell,
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

/// An owned kobject in sysfs. Dropping it removes the directory, which sleeps until all running
/// show() and store() calls of its files have returned.
///
/// # Invariants
///
/// The pointer was returned by `kobject_create_and_add()`, and this value owns the reference that
/// was returned with it.
struct Entry(NonNull<bindings::kobject>);

impl Entry {
    fn new(parent: Place<'_>, name: &CStr) -> Result<Self> {
        // SAFETY: `name` points to a NUL-terminated string. By the type invariants of `Place`,
        // `parent` points to a kobject in sysfs that is valid during the call.
        let kobj = unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), parent.as_ptr()) };
        // `kobject_create_and_add()` does not return a reason: either an allocation failed, or the
        // name exists already.
        // INVARIANT: The pointer was just returned, and its reference moves to the new value.
        NonNull::new(kobj).map(Self).ok_or(ENOMEM)
    }

    fn place(&self) -> Place<'_> {
        // SAFETY: The kobject is in sysfs until `self` is dropped, and `self`, which the result
        // borrows, owns a reference to it.
        unsafe { Place::new(self.0) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the kobject was added to sysfs, and `self` owns a
        // reference to it. It is removed only here.
        unsafe { bindings::kobject_del(self.0.as_ptr()) };
        // SAFETY: By the type invariants `self` owns a reference. `self` is not used after this.
        unsafe { bindings::kobject_put(self.0.as_ptr()) };
    }
}

/// The value of an attribute file.
///
/// Both methods run in the context of the task that reads or writes the file. They may sleep, and
/// calls may be concurrent. A kernfs active reference to the file is held during the call, so a
/// method must not wait for a lock under which the file is removed.
pub(super) trait Value {
    /// Writes the value to `page`. The user reads this text, or the error.
    fn show(&self, page: &mut Page<'_>) -> Result;

    /// Parses `input`, the text that the user wrote, and stores the value. If it fails, the old
    /// value is kept. The default is for read-only files.
    fn store(&self, input: &Input<'_>) -> Result {
        let _ = input;
        // sysfs does not open a file for writing if its mode has no write permission.
        Err(EACCES)
    }
}

/// The lockdep class of the files that one row of a table describes.
///
/// A store to an `nr_…` file removes other directories and waits for the active references of their
/// files. If all files had one class, lockdep would report that the file waits for itself.
#[repr(transparent)]
pub(super) struct Key(UnsafeCell<bindings::lock_class_key>);

// SAFETY: Rust code never accesses the content, only lockdep does, under its own locks.
unsafe impl Sync for Key {}

impl Key {
    /// Creates a class that is not in use.
    pub(super) const fn new() -> Self {
        // SAFETY: All-zero bytes are a valid `lock_class_key`: C defines the keys as static
        // variables without an initializer.
        Self(UnsafeCell::new(unsafe { core::mem::zeroed() }))
    }
}

/// One row of the file table of a directory type.
pub(super) struct File<T: ?Sized> {
    name: &'static CStr,
    mode: u16,
    key: &'static Key,
    value: fn(&T) -> &dyn Value,
    /// If present, each store that fails returns this error instead of the one of [`Value::store`].
    error: Option<Error>,
}

impl<T> File<T> {
    /// A readable and writable file. `value` returns the value of the file from the data of its
    /// directory.
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

    /// A readable and writable file for which each store of a bad value fails with `EINVAL`, also
    /// where [`Self::rw`] fails with `ERANGE`.
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

    /// A read-only file.
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

/// Builds the file table of a directory type. Each line has the constructor of [`File`] (`rw`,
/// `rw_einval` or `ro`), the name, and a function from the data of the directory to the [`Value`].
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

/// The data of a directory: the values of its files, and its subdirectories.
pub(super) trait Directory: Sized + Send + Sync + 'static {
    /// Returns the file table, see [`files!`].
    fn files() -> &'static [File<Self>];
}

/// The attribute of a file in one directory, with the row of the table and the data that show() and
/// store() need.
#[repr(C)]
struct Bound<T: Directory> {
    attr: bindings::kobj_attribute,
    file: &'static File<T>,
    data: *const T,
}

/// A directory in sysfs. `T` defines its files and subdirectories.
///
/// Dropping it removes the directory with everything below. That sleeps until all running show()
/// and store() calls of the removed files have returned, so the caller must not hold a lock that
/// such a call waits for.
///
/// # Invariants
///
/// - Each element of `files` points to its row of `T::files()` and to the data that `data` owns.
/// - `files` is not changed once a file was added to sysfs.
// Fields are dropped in this order. Dropping `entry` removes the files: afterwards no show() or
// store() call uses `files` and `data`.
pub(super) struct Dir<T: Directory> {
    entry: Entry,
    files: KVec<Bound<T>>,
    data: Arc<T>,
}

// SAFETY: `kobject_del()` and `kobject_put()` may be called on any thread. The pointers in `files`
// are to static rows and to the data, which is `Send` and `Sync`.
unsafe impl<T: Directory> Send for Dir<T> {}

// SAFETY: A shared `Dir` gives access to its data, which is `Sync`, and to the kobject pointer, to
// which `kobject_create_and_add()` may add directories on several threads at once.
unsafe impl<T: Directory> Sync for Dir<T> {}

impl<T: Directory> Dir<T> {
    /// Creates the directory `name` in `parent`.
    ///
    /// `data` receives the new directory. It returns the data and may create subdirectories. The
    /// files are added last, so show() and store() never see incomplete data.
    ///
    /// Sleeps. Fails with `ENOMEM`, also if the name exists, with the error of `data`, and with an
    /// error of sysfs if a file cannot be added. On failure, everything is removed again.
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
        // INVARIANT: The loop above set both pointers of each element, and no file is in sysfs yet.
        // If a file cannot be added below, dropping `dir` removes the earlier files before it frees
        // `files`.
        let dir = Self { entry, files, data };
        for bound in &dir.files {
            // SAFETY: The kobject is in sysfs by the type invariants of `Entry`. By the type
            // invariants and the drop order of the fields, the attribute is neither moved nor
            // changed until `entry` has removed the file. A null namespace means none.
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

    /// Returns the directory as the parent of further directories.
    pub(super) fn place(&self) -> Place<'_> {
        self.entry.place()
    }

    /// Returns the shared data. A clone of the `Arc` may outlive the directory.
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
    // SAFETY: `attr` is a valid local variable. `show::<T>` and `store::<T>` have the types that a
    // `kobj_attribute` calls.
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

/// Returns the row of the table and the data that an attribute belongs to.
///
/// # Safety
///
/// `attr` must point to the `attr` field of a [`Bound<T>`] in the `files` of a [`Dir<T>`] that is
/// not freed during `'a`.
unsafe fn bound<'a, T: Directory>(attr: *mut bindings::kobj_attribute) -> (&'a File<T>, &'a T) {
    // SAFETY: By the safety requirements of this function `attr` points to the field `attr` of a
    // `Bound<T>`.
    let bound: *mut Bound<T> = unsafe { container_of!(attr, Bound<T>, attr) };
    // SAFETY: By the safety requirements of this function the `Bound<T>` is valid for `'a`, and by
    // the type invariants of `Dir<T>` it is not changed.
    let bound = unsafe { &*bound };
    // SAFETY: By the type invariants of `Dir<T>` the pointer is to its data, which is not freed
    // during `'a` and is only accessed through shared references.
    (bound.file, unsafe { &*bound.data })
}

/// The show() callback of an attribute.
///
/// # Safety
///
/// - `attr` must meet the requirements of [`bound`] for the duration of the call.
/// - `buf` must point to a page of initialized memory that only this call accesses.
unsafe extern "C" fn show<T: Directory>(
    _: *mut bindings::kobject,
    attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: `attr` meets the requirements of `bound` by those of this function: sysfs calls this
    // only with an attribute of a `Dir<T>`, and `Dir<T>` frees nothing before the call has
    // returned.
    let (file, data) = unsafe { bound::<T>(attr) };
    // SAFETY: By the requirements of this function `buf` is an initialized page that is accessed by
    // nothing else during the call. sysfs clears it before the call.
    let mut page = unsafe { Page::from_raw(buf) };
    from_result(|| {
        (file.value)(data).show(&mut page)?;
        Ok(isize::try_from(page.len())?)
    })
}

/// The store() callback of an attribute.
///
/// # Safety
///
/// - `attr` must meet the requirements of [`bound`] for the duration of the call.
/// - `kobj` must point to the kobject of the directory that the attribute is in.
/// - `buf` must point to `count` initialized bytes that are followed by a NUL byte.
unsafe extern "C" fn store<T: Directory>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::kobj_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: `attr` meets the requirements of `bound` by those of this function: sysfs calls this
    // only with an attribute of a `Dir<T>`, and `Dir<T>` frees nothing before the call has
    // returned.
    let (file, data) = unsafe { bound::<T>(attr) };
    // SAFETY: By the requirements of this function `count` bytes and a NUL byte are initialized. A
    // write is at most a page long, so the sum does not saturate.
    let text = unsafe { core::slice::from_raw_parts(buf, count.saturating_add(1)) };
    from_result(|| {
        // The user may have written further NUL bytes. The text ends at the first one.
        let text = CStr::from_bytes_until_nul(text).map_err(|_| EINVAL)?;
        let kobj = NonNull::new(kobj).ok_or(EINVAL)?;
        // SAFETY: The directory of the file is in sysfs. Its removal waits for this call, so the
        // `Entry` keeps its reference until the call returns, and the place is not used after that.
        let place = unsafe { Place::new(kobj) };
        let stored = (file.value)(data).store(&Input::new(text, place));
        stored.map_err(|err| {
            // The system call is repeated.
            if err == ERESTARTNOINTR {
                return err;
            }
            let err = file.error.unwrap_or(err);
            refused(place, file.name, text, err);
            err
        })?;
        Ok(isize::try_from(count)?)
    })
}

/// Writes a debug message about a store that failed: path, text, error, and what the error means.
fn refused(place: Place<'_>, file: &CStr, text: &CStr, err: Error) {
    // SAFETY: By the type invariants of `Place` the kobject is valid and has been added, so it and
    // all its ancestors have names.
    let path = unsafe { bindings::kobject_get_path(place.as_ptr(), bindings::GFP_KERNEL) };
    // SAFETY: A pointer that is not null is to a NUL-terminated string, which is freed below and is
    // not changed before.
    let known = NonNull::new(path).and_then(|path| unsafe { c_str(path) });
    let (dir, errno, reason) = (known.unwrap_or(c"?"), err.to_errno(), reason(err));
    debug!("{dir}/{file}: refused with error {errno}, {reason}: {text:?}");
    // SAFETY: `path` is null or was allocated by `kzalloc()`, and it is not used after this.
    unsafe { bindings::kfree(path.cast()) };
}

/// Describes an error of a store to the user.
fn reason(err: Error) -> &'static str {
    match err {
        EINVAL => "invalid value, or in conflict with the values of other files",
        ERANGE => "too large",
        EBUSY => "a kdamond runs or is being started, or directories are being changed",
        EPERM => "the kdamond has ended",
        EINTR => "killed by a signal",
        ENOMEM => "out of memory, number too large, or invalid scheme",
        ENODEV => "the directory is being removed",
        err if err == ecanceled() => "the kdamond has ended, is paused, or has no active scheme",
        _ => "see the previous message",
    }
}
