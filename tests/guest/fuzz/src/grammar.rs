// SPDX-License-Identifier: GPL-2.0

//! The grammar of the tree, learned from the tree: which kinds of directories there are, their files
//! and what these read at first, and which file makes numbered directories.

use crate::class::{
    classify,
    Class, //
};
use std::{
    fs,
    io,
    os::unix::fs::PermissionsExt,
    path::Path, //
};

/// Index of a kind of directory.
pub type KindId = usize;

/// A file of a kind of directory.
pub struct FileKind {
    /// Its name.
    pub name: String,
    /// What it is.
    pub class: Class,
    /// Whether it can be written.
    pub writable: bool,
    /// What it reads in a new directory.
    pub first: Vec<u8>,
}

/// A kind of directory.
pub struct Kind {
    /// Its files.
    pub files: Vec<FileKind>,
    /// The directories that are always in it.
    pub subs: Vec<(String, KindId)>,
    /// The file that makes numbered directories, and their kind.
    pub list: Option<(usize, KindId)>,
    /// The number of files in it and below, with one of each numbered directory.
    pub weight: usize,
}

/// How a directory is reached from the one that it is in.
#[derive(Clone, Copy)]
pub enum Part {
    /// It is always there: its index among them.
    Sub(usize),
    /// It is a numbered one.
    Item,
}

/// All kinds of directories; the first is the top.
pub struct Grammar {
    /// The kinds.
    pub kinds: Vec<Kind>,
}

impl Grammar {
    /// Learns the grammar of the tree below `root`, which has no kdamond, and leaves it so.
    pub fn learn(root: &Path) -> io::Result<Self> {
        let mut grammar = Self { kinds: Vec::new() };
        grammar.learn_dir(root, String::new())?;
        fs::write(root.join("kdamonds/nr_kdamonds"), "0")?;
        Ok(grammar)
    }

    fn learn_dir(&mut self, path: &Path, place: String) -> io::Result<KindId> {
        let id = self.kinds.len();
        self.kinds.push(Kind {
            files: Vec::new(),
            subs: Vec::new(),
            list: None,
            weight: 0,
        });
        let mut names = names(path)?;
        names.sort();
        let below = |name: &str| match place.as_str() {
            "" => name.to_owned(),
            place => format!("{place}/{name}"),
        };
        let mut kind = Kind {
            files: Vec::new(),
            subs: Vec::new(),
            list: None,
            weight: 0,
        };
        for name in &names {
            let full = path.join(name);
            let status = fs::metadata(&full)?;
            if status.is_dir() {
                let sub = self.learn_dir(&full, below(name))?;
                kind.weight += self.kinds[sub].weight;
                kind.subs.push((name.clone(), sub));
                continue;
            }
            let first = fs::read(&full)?;
            let writable = status.permissions().mode() & 0o200 != 0;
            let entry = path.join("0");
            if writable && name.starts_with("nr_") && !entry.exists() {
                fs::write(&full, "1")?;
            }
            let makes = kind.list.is_none() && entry.exists();
            if makes {
                let entry = self.learn_dir(&entry, below("N"))?;
                kind.weight += self.kinds[entry].weight;
                kind.list = Some((kind.files.len(), entry));
            }
            kind.files.push(FileKind {
                name: name.clone(),
                class: classify(&place, name, makes, writable, &first),
                writable,
                first,
            });
        }
        kind.weight += kind.files.len();
        self.kinds[id] = kind;
        Ok(id)
    }

    /// How a directory of this kind is reached from the top. There is one way to each.
    pub fn way(&self, kind: KindId) -> Vec<Part> {
        let parent = |of: KindId| {
            self.kinds.iter().enumerate().find_map(|(id, kind)| {
                let subs = kind.subs.iter().position(|(_, sub)| *sub == of);
                let item = kind.list.is_some_and(|(_, entry)| entry == of);
                let part = subs.map(Part::Sub).or(item.then_some(Part::Item));
                part.map(|part| (id, part))
            })
        };
        let mut way = Vec::new();
        let mut at = kind;
        while let Some((id, part)) = parent(at) {
            way.push(part);
            at = id;
        }
        way.reverse();
        way
    }

    /// The path of such a directory, with `N` for any number.
    pub fn path(&self, kind: KindId) -> String {
        let mut path = String::new();
        let mut at = 0;
        for part in self.way(kind) {
            let (name, next) = match part {
                Part::Sub(index) => (
                    self.kinds[at].subs[index].0.as_str(),
                    self.kinds[at].subs[index].1,
                ),
                Part::Item => ("N", self.kinds[at].list.map_or(0, |(_, entry)| entry)),
            };
            path.push_str(name);
            path.push('/');
            at = next;
        }
        path
    }

    /// Number of kinds of files, of those that no rule is known for, and of directories.
    pub fn size(&self) -> (usize, usize, usize) {
        let files = self.kinds.iter().flat_map(|kind| &kind.files);
        let unknown = files.clone().filter(|file| file.class == Class::Unknown);
        (files.count(), unknown.count(), self.kinds.len())
    }
}

/// The names in a directory.
pub fn names(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
