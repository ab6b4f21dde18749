// SPDX-License-Identifier: GPL-2.0

//! Which files were tried: a run that leaves one out has shown nothing about it.

use crate::{
    class::Class,
    grammar::{
        Grammar,
        KindId, //
    },
};
use std::collections::BTreeMap;

/// What has come of the files of a kind, in all directories of a kind.
#[derive(Clone, Copy, Default)]
struct Tried {
    read: bool,
    taken: bool,
    refused: bool,
}

/// What has come of each kind of file.
#[derive(Default)]
pub struct Cover {
    tried: BTreeMap<(KindId, usize), Tried>,
}

impl Cover {
    fn of(&mut self, kind: KindId, file: usize) -> &mut Tried {
        self.tried.entry((kind, file)).or_default()
    }

    /// One was read, and is as it must be.
    pub fn read(&mut self, kind: KindId, file: usize) {
        self.of(kind, file).read = true;
    }

    /// One was written, and answered as it must.
    pub fn written(&mut self, kind: KindId, file: usize, taken: bool) {
        let tried = self.of(kind, file);
        tried.taken |= taken;
        tried.refused |= !taken;
    }

    /// The numbers of files that were read, took something and refused something, in words; and the
    /// names of those that did not although they can.
    pub fn report(&self, grammar: &Grammar) -> (String, Vec<String>) {
        let (mut read, mut taken, mut refused) = ((0, 0), (0, 0), (0, 0));
        let mut missing = Vec::new();
        for (id, kind) in grammar.kinds.iter().enumerate() {
            for (index, file) in kind.files.iter().enumerate() {
                let tried = self.tried.get(&(id, index)).copied().unwrap_or_default();
                let mut add = |count: &mut (u32, u32), can: bool, has: bool, what: &str| {
                    count.0 += u32::from(can && has);
                    count.1 += u32::from(can);
                    if can && !has {
                        missing.push(format!(
                            "{}{} was never {what}",
                            grammar.path(id),
                            file.name
                        ));
                    }
                };
                add(&mut read, true, tried.read, "read");
                add(&mut taken, file.writable, tried.taken, "written");
                let refuses = file.class != Class::Text;
                add(&mut refused, refuses, tried.refused, "refused");
            }
        }
        let text = format!(
            "{} of {} kinds of files read, {} of {} written, {} of {} refused",
            read.0, read.1, taken.0, taken.1, refused.0, refused.1
        );
        (text, missing)
    }
}
