// SPDX-License-Identifier: GPL-2.0

//! All kdamonds of this module: how many run, and how to ask each.

use super::Requests;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

struct Entry {
    number: usize,
    requests: Requests,
}

struct Entries {
    /// Sorted by number.
    known: KVec<Entry>,
    running: i32,
}

/// The kdamonds that exist, running or not.
#[pin_data]
pub struct Registry {
    #[pin]
    entries: Mutex<Entries>,
}

impl Registry {
    /// An empty registry. Fails with `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                entries <- new_mutex!(
                    Entries {
                        known: KVec::new(),
                        running: 0,
                    },
                    "damon_registry"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds a kdamond under the lowest free number. Fails with `ENOMEM`.
    pub(super) fn add(&self, requests: Requests) -> Result<usize> {
        let mut entries = self.entries.lock();
        let number = entries
            .known
            .iter()
            .enumerate()
            .find(|(at, entry)| entry.number != *at)
            .map_or(entries.known.len(), |(at, _)| at);

        // A list of its own size each time: kdamonds are few, and come and go rarely.
        let len = entries.known.len().saturating_add(1);
        let mut known = KVec::with_capacity(len, GFP_KERNEL)?;
        let mut new = Some(Entry { number, requests });
        for entry in entries.known.drain_all() {
            if new.as_ref().is_some_and(|new| new.number < entry.number) {
                if let Some(new) = new.take() {
                    known.push_within_capacity(new)?;
                }
            }
            known.push_within_capacity(entry)?;
        }
        if let Some(new) = new {
            known.push_within_capacity(new)?;
        }
        entries.known = known;
        Ok(number)
    }

    /// Removes what [`Self::add`] added.
    pub(super) fn remove(&self, number: usize) {
        let mut entries = self.entries.lock();
        let at = entries.known.iter().position(|e| e.number == number);
        let removed = at.and_then(|at| entries.known.remove(at).ok());
        drop(entries);
        drop(removed);
    }

    /// The mailboxes of all kdamonds, with their numbers. Fails with `ENOMEM`.
    pub fn all(&self) -> Result<KVec<(usize, Requests)>> {
        let entries = self.entries.lock();
        let mut all = KVec::with_capacity(entries.known.len(), GFP_KERNEL)?;
        for entry in &entries.known {
            all.push_within_capacity((entry.number, entry.requests.clone()))?;
        }
        Ok(all)
    }

    /// Counts a running kdamond in, for as long as the result lives.
    pub(super) fn enter(self: &Arc<Self>) -> Running {
        let mut entries = self.entries.lock();
        let before = entries.running;
        entries.running = before.saturating_add(1);
        Running {
            registry: self.clone(),
            before,
        }
    }
}

/// One running kdamond.
pub(super) struct Running {
    registry: Arc<Registry>,
    /// How many ran before it came: the number in the thread's name.
    pub(super) before: i32,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut entries = self.registry.entries.lock();
        entries.running = entries.running.saturating_sub(1);
    }
}
