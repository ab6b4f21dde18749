// SPDX-License-Identifier: GPL-2.0

//! The registry of all kdamonds of this module: their request handles, and the number of running
//! ones.

use super::{
    requests::Requests,
    sync::WaitMutex, //
};
use crate::panic_free;
use kernel::{
    prelude::*,
    sync::Arc, //
};

struct Entries {
    /// Indexed by number; `None` if the number is free.
    known: KVVec<Option<Requests>>,
    /// No lower number is free.
    lowest: usize,
    running: i32,
    /// The running kdamond was started with [`Kdamond::start_alone`](super::Kdamond::start_alone).
    alone: bool,
}

/// All kdamonds that exist, running or not.
pub struct Registry {
    entries: Arc<WaitMutex<Entries>>,
}

impl Registry {
    /// Creates an empty registry. Fails with `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        let entries = WaitMutex::new(Entries {
            known: KVVec::new(),
            lowest: 0,
            running: 0,
            alone: false,
        })?;
        Ok(Arc::new(Self { entries }, GFP_KERNEL)?)
    }

    /// Adds a kdamond with the lowest free number, and returns the number. Fails with `ENOMEM`. May
    /// sleep.
    pub(super) fn add(&self, requests: Requests) -> Result<usize> {
        let mut entries = self.entries.lock();
        let Entries { known, lowest, .. } = &mut *entries;
        let free = (*lowest..known.len()).find(|at| matches!(known.get(*at), Some(None)));
        let number = free.unwrap_or(known.len());
        match known.get_mut(number) {
            Some(place) => *place = Some(requests),
            None => panic_free::push(known, Some(requests), 4)?,
        }
        *lowest = number.saturating_add(1);
        Ok(number)
    }

    /// Frees a number that [`Self::add`] has returned. May sleep.
    pub(super) fn remove(&self, number: usize) {
        let mut entries = self.entries.lock();
        let Entries { known, lowest, .. } = &mut *entries;
        let removed = known.get_mut(number).and_then(Option::take);
        *lowest = number.min(*lowest);
        while matches!(known.last(), Some(None)) {
            known.truncate(known.len().saturating_sub(1));
        }
        let unused = if known.is_empty() {
            core::mem::take(known)
        } else {
            KVVec::new()
        };
        drop(entries);
        drop((removed, unused));
    }

    /// Returns the request handles of all kdamonds and their numbers. Fails with `ENOMEM`. May
    /// sleep.
    pub fn all(&self) -> Result<KVVec<(usize, Requests)>> {
        let entries = self.entries.lock();
        let mut all = KVVec::with_capacity(entries.known.len(), GFP_KERNEL)?;
        for (number, requests) in panic_free::indexed(&entries.known) {
            if let Some(requests) = requests {
                all.push_within_capacity((number, requests.clone()))?;
            }
        }
        Ok(all)
    }

    /// Counts a kdamond as running until the result is dropped. Fails with `EBUSY` if another
    /// kdamond runs and `alone` is set for one of the two.
    pub(super) fn enter(&self, alone: bool) -> Result<Running> {
        let mut entries = self.entries.lock();
        let before = entries.running;
        if before != 0 && (alone || entries.alone) {
            return Err(EBUSY);
        }
        entries.alone = alone;
        entries.running = before.saturating_add(1);
        Ok(Running {
            entries: self.entries.clone(),
            before,
        })
    }
}

/// A running kdamond, as counted by the registry.
pub(super) struct Running {
    entries: Arc<WaitMutex<Entries>>,
    /// Number of kdamonds that ran before it: the number in the thread's name.
    pub(super) before: i32,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        entries.running = entries.running.saturating_sub(1);
    }
}
