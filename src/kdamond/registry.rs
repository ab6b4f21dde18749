// SPDX-License-Identifier: GPL-2.0

//! All kdamonds of this module: how many run, and how to ask each.

use super::{
    requests::Requests,
    sync::Monitor, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

struct Entries {
    /// By number; `None` where the number is free.
    known: KVVec<Option<Requests>>,
    /// No number below this one is free.
    lowest: usize,
    running: i32,
    /// Whether the one that runs is to be the only one.
    alone: bool,
}

/// The kdamonds that exist, running or not.
pub struct Registry {
    entries: Arc<Monitor<Entries>>,
}

impl Registry {
    /// An empty registry. Fails with `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        let entries = Monitor::new(Entries {
            known: KVVec::new(),
            lowest: 0,
            running: 0,
            alone: false,
        })?;
        Ok(Arc::new(Self { entries }, GFP_KERNEL)?)
    }

    /// Adds a kdamond under the lowest free number. Fails with `ENOMEM`.
    pub(super) fn add(&self, requests: Requests) -> Result<usize> {
        let mut entries = self.entries.lock();
        let Entries { known, lowest, .. } = &mut *entries;
        let free = (*lowest..known.len()).find(|at| matches!(known.get(*at), Some(None)));
        let number = free.unwrap_or(known.len());
        match known.get_mut(number) {
            Some(place) => *place = Some(requests),
            None => append(known, requests)?,
        }
        *lowest = number.saturating_add(1);
        Ok(number)
    }

    /// Removes what [`Self::add`] added.
    pub(super) fn remove(&self, number: usize) {
        let mut entries = self.entries.lock();
        let Entries { known, lowest, .. } = &mut *entries;
        let removed = known.get_mut(number).and_then(Option::take);
        *lowest = number.min(*lowest);
        while matches!(known.last(), Some(None)) {
            known.truncate(known.len().saturating_sub(1));
        }
        let unused = match known.is_empty() {
            true => core::mem::take(known),
            false => KVVec::new(),
        };
        drop(entries);
        drop((removed, unused));
    }

    /// The mailboxes of all kdamonds, with their numbers. Fails with `ENOMEM`.
    pub fn all(&self) -> Result<KVVec<(usize, Requests)>> {
        let entries = self.entries.lock();
        let mut all = KVVec::with_capacity(entries.known.len(), GFP_KERNEL)?;
        for (number, requests) in (0..entries.known.len()).zip(entries.known.iter()) {
            if let Some(requests) = requests {
                all.push_within_capacity((number, requests.clone()))?;
            }
        }
        Ok(all)
    }

    /// Counts a running kdamond in, for as long as the result lives. Fails with `EBUSY` if there is
    /// another and one of the two wants to be `alone`.
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

/// Appends an entry, in twice the memory if need be, so that many cost no more each than few.
fn append(known: &mut KVVec<Option<Requests>>, requests: Requests) -> Result {
    if known.len() == known.capacity() {
        let capacity = known.len().saturating_mul(2).max(4);
        let mut larger = KVVec::with_capacity(capacity, GFP_KERNEL)?;
        for entry in core::mem::take(known) {
            larger.push_within_capacity(entry)?;
        }
        *known = larger;
    }
    Ok(known.push_within_capacity(Some(requests))?)
}

/// One running kdamond.
pub(super) struct Running {
    entries: Arc<Monitor<Entries>>,
    /// How many ran before it came: the number in the thread's name.
    pub(super) before: i32,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut entries = self.entries.lock();
        entries.running = entries.running.saturating_sub(1);
    }
}
