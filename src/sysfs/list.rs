// SPDX-License-Identifier: GPL-2.0

//! Directories that are numbered from 0, as many as the user wants.

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

/// The right to add and remove directories in one part of the tree.
///
/// Removing a directory waits for the stores to the files inside. One that waited for the holder of
/// this right would be waited for by it: a store therefore gets it at once or fails. The exception is
/// a file that the holder never removes.
#[pin_data]
pub(super) struct Structure {
    /// Whether the end has come: nothing is to be added any more.
    #[pin]
    closed: Mutex<bool>,
}

/// Proof that nobody else adds or removes directories.
pub(super) struct Change<'a>(MutexGuard<'a, bool>);

impl<'a> Change<'a> {
    fn new(closed: MutexGuard<'a, bool>) -> Result<Self> {
        match *closed {
            true => Err(ENODEV),
            false => Ok(Self(closed)),
        }
    }

    /// Nothing will be added or removed after this, unless it is reopened.
    pub(super) fn close(mut self) {
        *self.0 = true;
    }
}

impl Structure {
    /// For one part of the tree. `class` is one for each level of parts, as the holder of one waits
    /// for the stores of the next.
    pub(super) fn new(class: Pin<&'static LockClassKey>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                closed <- Mutex::new(false, c"damon_sysfs_structure", class),
            }),
            GFP_KERNEL,
        )
    }

    /// For stores to files that the holder may remove. Fails with `EBUSY` if somebody else has the
    /// right now, with `ENODEV` after the end.
    pub(super) fn try_change(&self) -> Result<Change<'_>> {
        Change::new(self.closed.try_lock().ok_or(EBUSY)?)
    }

    /// For stores to files that no holder removes, and for the end itself. Waits for who has the
    /// right now. Fails with `ENODEV` after the end.
    pub(super) fn change(&self) -> Result<Change<'_>> {
        Change::new(self.closed.lock())
    }

    /// Takes the end back.
    pub(super) fn reopen(&self) {
        *self.closed.lock() = false;
    }
}

struct Numbered<T: Directory> {
    dirs: KVVec<Dir<T>>,
    /// Counts the replacements of all directories.
    generation: u64,
}

/// Numbered directories.
pub(super) struct Dirs<T: Directory>(Pin<KBox<Mutex<Numbered<T>>>>);

impl<T: Directory> Dirs<T> {
    pub(super) fn new() -> Result<Self> {
        // Held for a look or a swap, never while directories are made or removed.
        let dirs = new_mutex!(
            Numbered {
                dirs: KVVec::new(),
                generation: 0,
            },
            "damon_sysfs_dirs"
        );
        Ok(Self(KBox::pin_init(dirs, GFP_KERNEL)?))
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().dirs.len()
    }

    /// The data of the directory with this number.
    pub(super) fn get(&self, number: usize) -> Option<Arc<T>> {
        let numbered = self.0.lock();
        numbered.dirs.get(number).map(|dir| dir.data().clone())
    }

    /// The data of all directories, in order. Whoever must not miss one holds a [`Change`].
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<T>> + '_ {
        (0..self.len()).map_while(|number| self.get(number))
    }

    /// A number that changes when the directories do.
    pub(super) fn generation(&self) -> u64 {
        self.0.lock().generation
    }

    fn swap(&self, dirs: KVVec<Dir<T>>) -> KVVec<Dir<T>> {
        let mut numbered = self.0.lock();
        numbered.generation = numbered.generation.wrapping_add(1);
        core::mem::replace(&mut numbered.dirs, dirs)
    }

    /// Removes all directories, then makes `nr` new ones in `place`. On failure, none is there.
    pub(super) fn replace(
        &self,
        _: &Change<'_>,
        place: Place<'_>,
        nr: usize,
        mut make: impl FnMut(usize, Place<'_>) -> Result<T>,
    ) -> Result {
        // The old ones go first, as the new ones have the same names, and without the lock, which
        // the functions of their files may be waiting for.
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

/// The most directories in a list, for which a pointer each fits into the largest piece of memory
/// that the kernel gives out at once. The in-tree DAMON has the same limit.
const MOST: usize = (4 << 20) / size_of::<*const ()>();

/// A directory that comes in numbers: `0/`, `1/` …
pub(super) trait Entry: Directory {
    /// What all of a list have in common.
    type Common: Send + Sync + 'static;

    /// The most of them.
    const LIMIT: usize = usize::MAX;

    /// The file that tells their number, of the directory that they are in.
    fn list_files() -> &'static [File<List<Self>>];

    /// Makes one of them.
    fn new(place: Place<'_>, list: &List<Self>) -> Result<Self>;

    /// The last one to object to their removal.
    fn retire(entries: &Dirs<Self>) -> Result {
        let _ = entries;
        Ok(())
    }
}

/// A directory of numbered directories, with the file `nr_…` that makes and counts them.
pub(super) struct List<T: Entry> {
    pub(super) dirs: Dirs<T>,
    pub(super) structure: Arc<Structure>,
    pub(super) common: T::Common,
}

impl<T: Entry> List<T> {
    /// An empty list in a part of the tree.
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

/// `nr_…`
impl<T: Entry> Value for List<T> {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.number(self.dirs.len())
    }

    /// Takes a C `int` that is not negative.
    fn store(&self, input: &Input<'_>) -> Result {
        let nr = usize::try_from(input.number::<i32>()?)?;
        if nr > T::LIMIT {
            return Err(EINVAL);
        }
        // Here, where the present directories can still stay.
        if nr > MOST {
            return Err(ENOMEM);
        }
        let change = self.structure.try_change()?;
        T::retire(&self.dirs)?;
        let make = |_, place: Place<'_>| T::new(place, self);
        self.dirs.replace(&change, input.place(), nr, make)
    }
}
