// SPDX-License-Identifier: GPL-2.0

//! Lists of numbered directories, `0/` to `<N - 1>/`, where the user stores N to an `nr_…` file.
//!
//! The data of a numbered directory implements [`Entry`]. For `dests/`, with the file `nr_dests`
//! and the directories `0/`, `1/` and so on:
//!
//! ```ignore
//! impl Entry for DestDir {
//!     type Common = ();
//!
//!     fn list_files() -> &'static [File<List<Self>>] {
//!         files!(List<DestDir> {
//!             rw c"nr_dests": |list| list;
//!         })
//!     }
//!
//!     fn new(_: Place<'_>, _: &List<Self>) -> Result<Self> {
//!         Ok(Self { id: Number::new(0), weight: Number::new(0) })
//!     }
//! }
//!
//! let dests = Dir::new(place, c"dests", |_| List::<DestDir>::new(structure, ()))?;
//! ```

use super::kobject::{
    Dir,
    Directory,
    File,
    Input,
    Page,
    Place,
    Value, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        LockClassKey,
        Mutex,
        MutexGuard, //
    },
};

/// The lock that serializes adding and removing directories in one part of the tree.
///
/// Removing a directory waits for the running store() calls of its files. If such a call waited for
/// this lock while the holder removes the directory, both would wait forever. A store() therefore
/// only tries to acquire the lock ([`Self::try_change`]). The exception is a file that no holder of
/// the lock removes ([`Self::change`]).
#[pin_data]
pub(super) struct Structure {
    /// `true`: no directory may be added or removed until [`Self::reopen`].
    #[pin]
    closed: Mutex<bool>,
}

/// A guard of the structure lock. While it exists, no other task adds or removes directories in
/// this part of the tree.
pub(super) struct Change<'a>(MutexGuard<'a, bool>);

impl<'a> Change<'a> {
    fn new(closed: MutexGuard<'a, bool>) -> Result<Self> {
        if *closed {
            Err(ENODEV)
        } else {
            Ok(Self(closed))
        }
    }

    /// Closes the part of the tree and releases the lock: further attempts to acquire it fail until
    /// [`Structure::reopen`].
    pub(super) fn close(mut self) {
        *self.0 = true;
    }
}

impl Structure {
    /// Creates the lock for one part of the tree. Fails with `ENOMEM`.
    ///
    /// `class` differs between the list of kdamonds and the parts below a kdamond: the holder of
    /// the former lock acquires the latter, and waits for store() calls that hold it.
    pub(super) fn new(class: Pin<&'static LockClassKey>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                closed <- Mutex::new(false, c"damon_sysfs_structure", class),
            }),
            GFP_KERNEL,
        )
    }

    /// Tries to acquire the lock, for a store() call of a file that a holder of the lock may
    /// remove.
    ///
    /// Does not sleep. Fails with `EBUSY` if another task holds the lock, and with `ENODEV` if the
    /// part of the tree is closed.
    pub(super) fn try_change(&self) -> Result<Change<'_>> {
        Change::new(self.closed.try_lock().ok_or(EBUSY)?)
    }

    /// Acquires the lock, for a store() call of a file that no holder of the lock removes, and for
    /// unloading.
    ///
    /// Sleeps until the lock is free. Fails with `ENODEV` if the part of the tree is closed.
    pub(super) fn change(&self) -> Result<Change<'_>> {
        Change::new(self.closed.lock())
    }

    /// Reverts [`Change::close`]. Sleeps until the lock is free.
    pub(super) fn reopen(&self) {
        *self.closed.lock() = false;
    }
}

struct Numbered<T: Directory> {
    dirs: KVVec<Dir<T>>,
    /// Number of swaps of `dirs`.
    generation: u64,
}

/// Numbered directories, under the list lock. The methods but [`Self::replace`] may be called on
/// the kdamond: the lock is held only for short times, and no other lock is acquired under it.
pub(super) struct Dirs<T: Directory>(Pin<KBox<Mutex<Numbered<T>>>>);

impl<T: Directory> Dirs<T> {
    /// Creates an empty list. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        // Held to read or swap `dirs`, never while directories are created or removed.
        let dirs = new_mutex!(
            Numbered {
                dirs: KVVec::new(),
                generation: 0,
            },
            "damon_sysfs_dirs"
        );
        Ok(Self(KBox::pin_init(dirs, GFP_KERNEL)?))
    }

    /// Returns the number of directories.
    pub(super) fn len(&self) -> usize {
        self.0.lock().dirs.len()
    }

    /// Returns the data of the directory with this number, or `None` if there is none.
    pub(super) fn get(&self, number: usize) -> Option<Arc<T>> {
        let numbered = self.0.lock();
        numbered.dirs.get(number).map(|dir| dir.data().clone())
    }

    /// Returns the data of all directories in ascending order. A caller that must not miss one
    /// holds a [`Change`]: while the list is being replaced, it is empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<T>> + '_ {
        (0..self.len()).map_while(|number| self.get(number))
    }

    /// Returns a number that changes whenever the directories are replaced.
    pub(super) fn generation(&self) -> u64 {
        self.0.lock().generation
    }

    /// Installs `dirs` and returns the old directories, which the caller drops without the lock.
    fn swap(&self, dirs: KVVec<Dir<T>>) -> KVVec<Dir<T>> {
        let mut numbered = self.0.lock();
        numbered.generation = numbered.generation.wrapping_add(1);
        core::mem::replace(&mut numbered.dirs, dirs)
    }

    /// Removes all directories, then creates `nr` new ones in `place`. `make` returns the data of
    /// the directory with a number.
    ///
    /// Sleeps until all running show() and store() calls below the removed directories have
    /// returned. Fails with `ENOMEM` and with the errors of [`Dir::new`] and `make`. On failure,
    /// the list is empty.
    pub(super) fn replace(
        &self,
        _: &Change<'_>,
        place: Place<'_>,
        nr: usize,
        mut make: impl FnMut(usize, Place<'_>) -> Result<T>,
    ) -> Result {
        // The old directories are removed first, because the new ones have the same names. They are
        // removed without the list lock, because show() and store() calls of their files may wait
        // for it.
        let removed_without_lock = self.swap(KVVec::new());
        drop(removed_without_lock);
        if nr > MOST {
            return Err(ENOMEM);
        }
        let mut dirs = KVVec::with_capacity(nr, GFP_KERNEL | __GFP_NOWARN)?;
        for number in 0..nr {
            let name = CString::try_from_fmt(fmt!("{number}"))?;
            let dir = Dir::new(place, &name, |place| make(number, place))?;
            dirs.push_within_capacity(dir)?;
        }
        drop(self.swap(dirs));
        Ok(())
    }
}

/// Maximum number of directories in a list. It is that of the in-tree DAMON, which allocates an
/// array of one pointer for each directory: the largest `kmalloc()` allocation is 4 MiB.
const MOST: usize = (4 << 20) / size_of::<*const ()>();

/// The data of a numbered directory.
pub(super) trait Entry: Directory {
    /// Data that all directories of a list share.
    type Common: Send + Sync + 'static;

    /// Maximum number of directories. A store of a larger number to the `nr_…` file fails with
    /// `EINVAL`.
    const LIMIT: usize = usize::MAX;

    /// Returns the file table of the parent directory, which contains the `nr_…` file.
    fn list_files() -> &'static [File<List<Self>>];

    /// Creates the data, and the subdirectories in `place`.
    fn new(place: Place<'_>, list: &List<Self>) -> Result<Self>;

    /// Prepares all directories of a list for their removal. If it fails, they are not removed and
    /// the store to the `nr_…` file fails with that error.
    ///
    /// Called with the structure lock of the list held.
    fn retire(entries: &Dirs<Self>) -> Result {
        let _ = entries;
        Ok(())
    }
}

/// The data of a directory of numbered directories. Its `nr_…` file shows their number; a store
/// replaces all of them.
pub(super) struct List<T: Entry> {
    pub(super) dirs: Dirs<T>,
    pub(super) structure: Arc<Structure>,
    pub(super) common: T::Common,
}

impl<T: Entry> List<T> {
    /// Creates an empty list in the part of the tree that `structure` protects. Fails with
    /// `ENOMEM`.
    pub(super) fn new(structure: &Arc<Structure>, common: T::Common) -> Result<Self> {
        Ok(Self {
            dirs: Dirs::new()?,
            structure: structure.clone(),
            common,
        })
    }
}

impl<T: Entry> Directory for List<T> {
    fn files() -> &'static [File<Self>] {
        T::list_files()
    }
}

/// The file `nr_…`.
impl<T: Entry> Value for List<T> {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.number(self.dirs.len())
    }

    /// Parses a C `int` and replaces all directories.
    ///
    /// Fails with `EINVAL` if the number is negative or above [`Entry::LIMIT`], with `EBUSY` if
    /// another task holds the structure lock, with `ENODEV` if this part of the tree is closed,
    /// with `ENOMEM`, and with the errors of [`Entry::retire`] and [`Entry::new`].
    fn store(&self, input: &Input<'_>) -> Result {
        let nr = usize::try_from(input.number::<i32>()?)?;
        if nr > T::LIMIT {
            return Err(EINVAL);
        }
        // `replace` checks this too, but only after it has removed the current directories.
        if nr > MOST {
            return Err(ENOMEM);
        }
        let change = self.structure.try_change()?;
        T::retire(&self.dirs)?;
        let make = |_, place: Place<'_>| T::new(place, self);
        self.dirs.replace(&change, input.place(), nr, make)
    }
}
