// SPDX-License-Identifier: GPL-2.0

//! Values of files.
//!
//! A value is one word of memory that is read and written as a whole. No lock is needed for it, so
//! a store to a file waits for nothing, and can be waited for by whoever removes the directory.
//! The one exception is [`Text`].

pub(super) use super::kobject::parameters::{
    Flag as Switch,
    Number, //
};
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

impl Value for Switch {
    fn show(&self, page: &mut Page<'_>) -> Result {
        page.flag(self.get());
        Ok(())
    }

    fn store(&self, input: &Input<'_>) -> Result {
        self.set(input.boolean()?);
        Ok(())
    }
}

/// A type whose values have names in files.
pub(super) trait Words: Copy + Send + Sync + 'static {
    /// All values with their names. The first is the default of a file.
    const WORDS: &'static [(&'static CStr, Self)];

    /// The value with the name that was written. Fails with `EINVAL`.
    fn parse(input: &Input<'_>) -> Result<Self> {
        index::<Self>(input).map(|(_, word)| word)
    }
}

fn index<W: Words>(input: &Input<'_>) -> Result<(usize, W)> {
    let mut words = (0..W::WORDS.len()).zip(W::WORDS);
    let found = words.find(|(_, (name, _))| input.is(name));
    found.map(|(index, (_, word))| (index, *word)).ok_or(EINVAL)
}

/// One of several words. Starts as the first of them.
pub(super) struct Word<W: Words> {
    /// Index into the words.
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

    /// The value. Does not fail, as only indices of words are ever stored.
    pub(super) fn get(&self) -> Result<W> {
        self.entry().map(|(_, word)| *word)
    }

    /// Takes one of the words that `accept` accepts. Fails with `EINVAL`.
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

/// Text as it was written, newlines included.
pub(super) struct Text(Pin<KBox<Mutex<KVec<u8>>>>);

impl Text {
    pub(super) fn new() -> Result<Self> {
        // The lock is held for a copy of a page, and its holder takes no other one.
        let text = new_mutex!(KVec::new(), "damon_sysfs_text");
        Ok(Self(KBox::pin_init(text, GFP_KERNEL)?))
    }
}

impl Text {
    /// A copy of the text. Fails with `ENOMEM`.
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

/// A lower and an upper limit: the directory `{sz,nr_accesses,age,nr_regions}/` with `min` and `max`.
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
