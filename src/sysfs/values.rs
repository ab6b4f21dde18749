// SPDX-License-Identifier: GPL-2.0

//! Values of attribute files.
//!
//! A value is an atomic that is loaded and stored with relaxed ordering, so stores to different
//! files may become visible in any order. show() and store() acquire no lock, and a task that
//! removes the directory can wait for them. The exception is [`Text`], which has its own lock.
//!
//! A value that the user names by a word:
//!
//! ```ignore
//! impl Words for Tuner {
//!     const WORDS: &'static [(&'static CStr, Self)] = &[
//!         (Self::Consist.name(), Self::Consist),
//!         (Self::Temporal.name(), Self::Temporal),
//!     ];
//! }
//!
//! // The file `goal_tuner`. It shows `consist`; a store of `other` fails with `EINVAL`.
//! rw c"goal_tuner": |quota| &quota.goal_tuner;    // of type `Word<Tuner>`
//! ```

use super::kobject::{
    bytes,
    files,
    Directory,
    File,
    Input,
    Integer,
    Page,
    Value, //
};
use crate::panic_free::indexed;
pub(super) use crate::service::{
    Flag,
    Number, //
};
use core::marker::PhantomData;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

impl<T: Integer> Value for Number<T> {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.number(self.get())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.set(input.number()?);
        Ok(())
    }
}

impl Value for Flag {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.flag(self.get());
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.set(input.boolean()?);
        Ok(())
    }
}

/// A type with named values. Files show and parse the names.
pub(super) trait Words: Copy + Send + Sync + 'static {
    /// All values with their names. The first value is the default of a [`Word`].
    const WORDS: &'static [(&'static CStr, Self)];

    /// Returns the value that `input` names. A newline may follow the name. Fails with `EINVAL` if
    /// there is no such value.
    fn parse(input: &Input<'_>) -> Result<Self> {
        index::<Self>(input).map(|(_, word)| word)
    }
}

/// Returns the value that `input` names, and its index into [`Words::WORDS`].
fn index<W: Words>(input: &Input<'_>) -> Result<(usize, W)> {
    let mut words = indexed(W::WORDS);
    let found = words.find(|(_, (name, _))| input.is(name));
    found.map(|(index, (_, word))| (index, *word)).ok_or(EINVAL)
}

/// A value of a type with names. Initially the first one.
pub(super) struct Word<W: Words> {
    /// Index into [`Words::WORDS`].
    index: Atomic<usize>,
    _words: PhantomData<W>,
}

impl<W: Words> Word<W> {
    pub(super) const fn new() -> Self {
        Self {
            index: Atomic::new(0),
            _words: PhantomData,
        }
    }

    fn entry(&self) -> Result<&'static (&'static CStr, W)> {
        W::WORDS.get(self.index.load(Relaxed)).ok_or(EINVAL)
    }

    /// Returns the value. Never fails, because only valid indices are stored.
    pub(super) fn get(&self) -> Result<W> {
        self.entry().map(|(_, word)| *word)
    }

    /// Stores the value that `input` names. Fails with `EINVAL` if there is no such value, or if
    /// `accept` returns `false` for it.
    pub(super) fn store_if(&self, input: &Input<'_>, accept: impl FnOnce(W) -> bool) -> Result {
        let (index, word) = index(input)?;
        if !accept(word) {
            return Err(EINVAL);
        }
        self.index.store(index, Relaxed);
        Ok(())
    }
}

impl<W: Words> Value for Word<W> {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.line(bytes(self.entry()?.0));
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.store_if(input, |_| true)
    }
}

/// Text exactly as the user wrote it, including newlines.
pub(super) struct Text(Pin<KBox<Mutex<KVec<u8>>>>);

impl Text {
    /// Creates an empty text. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        // Held only to copy or replace at most one page. No other lock is acquired under it.
        let text = new_mutex!(KVec::new(), "damon_sysfs_text");
        Ok(Self(KBox::pin_init(text, GFP_KERNEL)?))
    }
}

impl Text {
    /// Returns a copy of the text. Sleeps. Fails with `ENOMEM`.
    pub(super) fn get(&self) -> Result<KVec<u8>> {
        copy(&self.0.lock())
    }
}

impl Value for Text {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.line(&self.0.lock());
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        let text = copy(input.bytes())?;
        let old = core::mem::replace(&mut *self.0.lock(), text);
        drop(old);
        Ok(())
    }
}

fn copy(bytes: &[u8]) -> Result<KVec<u8>> {
    let mut text = KVec::with_capacity(bytes.len(), GFP_KERNEL)?;
    for byte in bytes {
        text.push_within_capacity(*byte)?;
    }
    Ok(text)
}

/// The data of the directories `sz/`, `nr_accesses/`, `age/` and `nr_regions/`: a lower and an
/// upper limit.
pub(super) struct Range {
    pub(super) min: Number<u64>,
    pub(super) max: Number<u64>,
}

impl Range {
    pub(super) const fn new(min: u64, max: u64) -> Self {
        Self {
            min: Number::new(min),
            max: Number::new(max),
        }
    }
}

impl Directory for Range {
    fn files() -> &'static [File<Self>] {
        files!(Range {
            rw c"min": |range| &range.min;
            rw c"max": |range| &range.max;
        })
    }
}
