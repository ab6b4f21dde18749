// SPDX-License-Identifier: GPL-2.0

//! `kdamonds/`: the kdamonds, which are the monitoring threads.

use super::{
    contexts::ContextsDir,
    kobject::{
        files,
        Dir,
        Directory,
        File,
        Page,
        Place,
        Value, //
    },
    list::{
        Dirs,
        Entry,
        List,
        Structure, //
    },
    state::State,
    values::Number, //
};
use crate::{
    kdamond::{
        self,
        Registry, //
    },
    panic_free::indexed, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::Arc, //
};

/// `kdamonds/`
pub(super) type Kdamonds = List<KdamondDir>;

impl Kdamonds {
    /// Closes the list and everything below it, so that no directory is added any more, and stops
    /// all kdamonds. For unloading. Sleeps until their threads have ended.
    pub(super) fn end(&self) {
        if let Ok(change) = self.structure.change() {
            change.close();
        }
        self.dirs.iter().for_each(|kdamond| kdamond.state.end());
    }
}

/// The file `pid`: the PID of the kdamond, or -1 if it does not run.
struct Pid(Arc<kdamond::Kdamond>);

impl Value for Pid {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.number(self.0.pid().unwrap_or(-1))
    }
}

/// `kdamonds/<K>/`
// Fields are dropped in this order. `state` and `pid` own the kdamond, and dropping it waits until
// the thread has ended. The thread writes to the directories in `_contexts`, which are removed
// last.
pub(super) struct KdamondDir {
    state: State,
    pid: Pid,
    refresh_ms: Arc<Number<u32>>,
    _contexts: Dir<ContextsDir>,
}

impl Directory for KdamondDir {
    fn files() -> &'static [File<Self>] {
        files!(KdamondDir {
            rw c"state": |kdamond| &kdamond.state;
            ro c"pid": |kdamond| &kdamond.pid;
            rw c"refresh_ms": |kdamond| &*kdamond.refresh_ms;
        })
    }
}

impl Entry for KdamondDir {
    type Common = Arc<Registry>;

    fn list_files() -> &'static [File<Kdamonds>] {
        files!(Kdamonds {
            rw c"nr_kdamonds": |kdamonds| kdamonds;
        })
    }

    fn new(place: Place<'_>, list: &Kdamonds) -> Result<Self> {
        let kdamond = kdamond::Kdamond::new(&list.common)?;
        let structure = Structure::new(static_lock_class!())?;
        let refresh_ms = Arc::new(Number::new(0), GFP_KERNEL)?;
        let contexts = Dir::new(place, c"contexts", |_| List::new(&structure, ()))?;
        Ok(Self {
            state: State::new(
                kdamond.clone(),
                structure,
                contexts.data().clone(),
                refresh_ms.clone(),
            )?,
            pid: Pid(kdamond),
            refresh_ms,
            _contexts: contexts,
        })
    }

    /// Prevents all kdamonds from being started and closes everything below them. Fails with
    /// `EBUSY` if a kdamond runs, is being started, or has directories that are being changed; then
    /// nothing is changed.
    fn retire(kdamonds: &Dirs<Self>) -> Result {
        for (retired, kdamond) in indexed(kdamonds.iter()) {
            if let Err(err) = kdamond.state.retire() {
                let undo = kdamonds.iter().take(retired);
                undo.for_each(|kdamond| kdamond.state.reinstate());
                return Err(err);
            }
        }
        Ok(())
    }
}
