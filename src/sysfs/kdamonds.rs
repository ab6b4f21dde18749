// SPDX-License-Identifier: GPL-2.0

//! `kdamonds/`: the monitoring threads.

use super::{
    contexts::Contexts,
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
use crate::kdamond::{
    self,
    Registry, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::Arc, //
};

/// `kdamonds/`
pub(super) type Kdamonds = List<Kdamond>;

impl Kdamonds {
    /// Stops all kdamonds, and lets nobody add anything.
    pub(super) fn end(&self) {
        if let Ok(change) = self.structure.change() {
            change.close();
        }
        self.dirs.iter().for_each(|kdamond| kdamond.state.end());
    }
}

/// The number of the thread, or -1.
struct Pid(Arc<kdamond::Kdamond>);

impl Value for Pid {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.number(self.0.pid().unwrap_or(-1))
    }
}

/// `kdamonds/<K>/`
// Fields are dropped in this order: the thread ends before the directories go that it writes to.
pub(super) struct Kdamond {
    state: State,
    pid: Pid,
    refresh_ms: Arc<Number<u32>>,
    _contexts: Dir<Contexts>,
}

impl Directory for Kdamond {
    fn files() -> &'static [File<Self>] {
        files!(Kdamond {
            rw c"state": |kdamond| &kdamond.state;
            ro c"pid": |kdamond| &kdamond.pid;
            rw c"refresh_ms": |kdamond| &*kdamond.refresh_ms;
        })
    }
}

impl Entry for Kdamond {
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

    /// Makes sure that no kdamond runs and none is going to. Fails with `EBUSY`, and then all is as
    /// before.
    fn retire(kdamonds: &Dirs<Self>) -> Result {
        for (retired, kdamond) in (0..kdamonds.len()).zip(kdamonds.iter()) {
            if let Err(err) = kdamond.state.retire() {
                let undo = kdamonds.iter().take(retired);
                undo.for_each(|kdamond| kdamond.state.reinstate());
                return Err(err);
            }
        }
        Ok(())
    }
}
