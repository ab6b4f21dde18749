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
struct File {
    read: bool,
    taken: bool,
    refused: bool,
}

/// What has come of each kind of file.
#[derive(Default)]
pub struct Cover {
    files: BTreeMap<(KindId, usize), File>,
}

/// The kinds of files that were tried: how many were, of how many that can be.
#[derive(Default)]
pub struct Tried {
    /// Read.
    pub read: (u64, u64),
    /// Written, with something that was taken.
    pub written: (u64, u64),
    /// Written, with something that was refused.
    pub refused: (u64, u64),
    /// What was never done with which, although it can be.
    missing: Vec<(KindId, usize, &'static str)>,
}

impl Cover {
    fn of(&mut self, kind: KindId, file: usize) -> &mut File {
        self.files.entry((kind, file)).or_default()
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

    /// Which of all kinds of files were tried.
    pub fn tried(&self, grammar: &Grammar) -> Tried {
        let mut all = Tried::default();
        for (id, kind) in grammar.kinds.iter().enumerate() {
            for (index, file) in kind.files.iter().enumerate() {
                let tried = self.files.get(&(id, index)).copied().unwrap_or_default();
                let mut add = |count: &mut (u64, u64), can: bool, has: bool, what| {
                    count.0 += u64::from(can && has);
                    count.1 += u64::from(can);
                    if can && !has {
                        all.missing.push((id, index, what));
                    }
                };
                add(&mut all.read, true, tried.read, "read");
                add(&mut all.written, file.writable, tried.taken, "written");
                let refuses = file.class != Class::Text;
                add(&mut all.refused, refuses, tried.refused, "refused");
            }
        }
        all
    }
}

impl Tried {
    /// What was never done with which kind of file, a line each.
    pub fn missing(&self, grammar: &Grammar) -> String {
        let line = |(kind, file, what): &(KindId, usize, &str)| {
            let name = &grammar.kinds[*kind].files[*file].name;
            format!("{}{name} was never {what}\n", grammar.path(*kind))
        };
        self.missing.iter().map(line).collect()
    }

    /// In words.
    pub fn text(&self) -> String {
        let (read, written, refused) = (self.read, self.written, self.refused);
        format!(
            "{} of {} kinds of files read, {} of {} written, {} of {} refused",
            read.0, read.1, written.0, written.1, refused.0, refused.1
        )
    }
}
