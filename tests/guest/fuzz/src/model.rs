// SPDX-License-Identifier: GPL-2.0

//! The model: which directories there are, and what their files must read.

use crate::{
    class::Class,
    grammar::{
        Grammar,
        Kind,
        KindId, //
    },
    kdamond::{
        Kdamond,
        Run, //
    },
    rules::{
        Rule,
        Rules, //
    },
};
use std::collections::BTreeSet;

/// A step from a directory to one in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hop {
    /// The one that is always there, by its index in the kind.
    Sub(usize),
    /// A numbered one.
    Item(usize),
}

/// The way from the top to a directory.
pub type Route = Vec<Hop>;

/// A directory that must be there.
pub struct Dir {
    /// No other directory has it, at any time.
    pub id: u64,
    /// What kind it is.
    pub kind: KindId,
    /// What the files read, in the order of the kind's files.
    pub contents: Vec<Vec<u8>>,
    /// The directories that are always in it, in the order of the kind.
    pub subs: Vec<Dir>,
    /// The numbered ones.
    pub items: Vec<Dir>,
    /// How many regions a walk has left in it.
    pub walked: usize,
}

/// Processes that targets can be.
#[derive(Default)]
pub struct Processes {
    /// They live for sure.
    pub live: BTreeSet<i64>,
    /// There is none with these numbers.
    pub dead: BTreeSet<i64>,
}

/// What must be readable.
pub struct Model {
    /// The grammar of the tree.
    pub grammar: Grammar,
    /// The top.
    pub root: Dir,
    /// What is known of each kdamond.
    pub kdamonds: Vec<Kdamond>,
    /// The processes.
    pub processes: Processes,
    /// The rules that hold.
    pub rules: Rules,
    /// Whether this is the in-tree DAMON, which does a few things otherwise.
    pub in_tree: bool,
    next_id: u64,
}

impl Model {
    /// The tree without kdamonds.
    pub fn new(grammar: Grammar, rules: Rules, in_tree: bool) -> Self {
        let mut next_id = 0;
        let root = make(&grammar, &mut next_id, 0);
        Self {
            grammar,
            root,
            kdamonds: Vec::new(),
            processes: Processes::default(),
            rules,
            in_tree,
            next_id,
        }
    }

    /// The directory at the end of a way, if it is there.
    pub fn dir(&self, route: &[Hop]) -> Option<&Dir> {
        route.iter().try_fold(&self.root, |dir, hop| match hop {
            Hop::Sub(index) => dir.subs.get(*index),
            Hop::Item(index) => dir.items.get(*index),
        })
    }

    /// As [`Self::dir`], to be changed.
    pub fn dir_mut(&mut self, route: &[Hop]) -> Option<&mut Dir> {
        route.iter().try_fold(&mut self.root, |dir, hop| match hop {
            Hop::Sub(index) => dir.subs.get_mut(*index),
            Hop::Item(index) => dir.items.get_mut(*index),
        })
    }

    /// The kind of a directory.
    pub fn kind(&self, dir: &Dir) -> &Kind {
        &self.grammar.kinds[dir.kind]
    }

    /// The path of a directory, from the top.
    pub fn path(&self, route: &[Hop]) -> String {
        let mut path = String::new();
        let mut kind = &self.grammar.kinds[0];
        for hop in route {
            let next = match hop {
                Hop::Sub(index) => {
                    path.push_str(&kind.subs[*index].0);
                    kind.subs[*index].1
                }
                Hop::Item(index) => {
                    path.push_str(&index.to_string());
                    kind.list.map_or(0, |(_, entry)| entry)
                }
            };
            path.push('/');
            kind = &self.grammar.kinds[next];
        }
        path
    }

    /// The way to a directory, from its path. The directory need not be there; its kind must.
    pub fn route(&self, path: &str) -> Option<Route> {
        let mut kind = &self.grammar.kinds[0];
        let mut route = Route::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let next = if let Ok(number) = part.parse() {
                route.push(Hop::Item(number));
                kind.list?.1
            } else {
                let index = kind.subs.iter().position(|(name, _)| name == part)?;
                route.push(Hop::Sub(index));
                kind.subs[index].1
            };
            kind = &self.grammar.kinds[next];
        }
        Some(route)
    }

    /// The index of a file by the path of its directory and its name.
    pub fn file(&self, route: &[Hop], name: &str) -> Option<usize> {
        let kind = self.kind(self.dir(route)?);
        kind.files.iter().position(|file| file.name == name)
    }

    /// The number of the kdamond that a directory belongs to.
    pub fn kdamond_of(&self, route: &[Hop]) -> Option<usize> {
        match route.get(1) {
            Some(Hop::Item(number)) => Some(*number),
            _ => None,
        }
    }

    /// A directory below another one, by the path from there.
    pub fn below<'a>(&self, dir: &'a Dir, path: &str) -> Option<&'a Dir> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.try_fold(dir, |dir, part| {
            if let Ok(number) = part.parse::<usize>() {
                return dir.items.get(number);
            }
            let subs = &self.kind(dir).subs;
            dir.subs
                .get(subs.iter().position(|(name, _)| name == part)?)
        })
    }

    /// What a file of a directory reads, without the last newline; empty if there is none.
    pub fn read<'a>(&self, dir: &'a Dir, name: &str) -> &'a str {
        let files = &self.kind(dir).files;
        let index = files.iter().position(|file| file.name == name);
        let content = index.and_then(|index| dir.contents.get(index));
        let text = content.and_then(|content| std::str::from_utf8(content).ok());
        text.map_or("", |text| text.strip_suffix('\n').unwrap_or(text))
    }

    /// The number in a file, 0 if there is none.
    pub fn number(&self, dir: &Dir, name: &str) -> i128 {
        self.read(dir, name).parse().unwrap_or(0)
    }

    /// The context of a kdamond.
    pub fn context(&self, number: usize) -> Option<&Dir> {
        let top = self.below(&self.root, "kdamonds")?;
        self.below(top.items.get(number)?, "contexts/0")
    }

    /// Makes the numbered directories of a list anew.
    pub fn remake(&mut self, route: &[Hop], count: usize) {
        let broken = self.rules.is_broken(Rule::AsManyDirectories) && count > 0;
        let kept = self.rules.is_broken(Rule::FreshValues);
        let Some((file, entry)) = self.dir(route).and_then(|dir| self.kind(dir).list) else {
            return;
        };
        let made = count + usize::from(broken);
        let new: Vec<Dir> = (0..made)
            .map(|_| make(&self.grammar, &mut self.next_id, entry))
            .collect();
        let Some(dir) = self.dir_mut(route) else {
            return;
        };
        let old = std::mem::replace(&mut dir.items, new);
        if kept {
            for (new, old) in dir.items.iter_mut().zip(old) {
                new.contents = old.contents;
            }
        }
        dir.contents[file] = format!("{count}\n").into_bytes();
        if route.len() == 1 {
            self.kdamonds = (0..made).map(|_| Kdamond::default()).collect();
        }
    }

    /// The number of directories.
    pub fn size(&self) -> usize {
        fn count(dir: &Dir) -> usize {
            1 + dir.subs.iter().chain(&dir.items).map(count).sum::<usize>()
        }
        count(&self.root)
    }

    /// A directory and all below, by their ways.
    pub fn routes(&self, from: &[Hop]) -> Vec<Route> {
        fn walk(dir: &Dir, route: &mut Route, all: &mut Vec<Route>) {
            all.push(route.clone());
            for (index, sub) in dir.subs.iter().enumerate() {
                route.push(Hop::Sub(index));
                walk(sub, route, all);
                route.pop();
            }
            for (index, item) in dir.items.iter().enumerate() {
                route.push(Hop::Item(index));
                walk(item, route, all);
                route.pop();
            }
        }
        let mut all = Vec::new();
        if let Some(dir) = self.dir(from) {
            walk(dir, &mut from.to_vec(), &mut all);
        }
        all
    }

    /// What a file may read.
    pub fn expected(&self, route: &[Hop], file: usize) -> Expected {
        let Some(dir) = self.dir(route) else {
            return Expected::Anything;
        };
        let kind = &self.kind(dir).files[file];
        let content = dir.contents[file].clone();
        let kdamond = self.kdamond_of(route).and_then(|k| self.kdamonds.get(k));
        let Some(kdamond) = kdamond else {
            return Expected::Exactly(content);
        };
        match &kind.class {
            Class::State => match kdamond.run {
                Run::On => Expected::Exactly(b"on\n".to_vec()),
                Run::Off => Expected::Exactly(b"off\n".to_vec()),
                Run::Ending => Expected::OneOf(vec![b"on\n".to_vec(), b"off\n".to_vec()]),
            },
            Class::Thread => match (kdamond.run, kdamond.thread) {
                (Run::Off, _) => Expected::Exactly(b"-1\n".to_vec()),
                (Run::Ending, _) => Expected::Number,
                (Run::On, None) => Expected::Positive,
                (Run::On, Some(pid)) => Expected::Exactly(format!("{pid}\n").into_bytes()),
            },
            Class::Report if kdamond.publishing => Expected::Number,
            Class::Number { tuned: true, .. } if kdamond.publishing => {
                match kdamond.interval(&kind.name) {
                    None => Expected::Number,
                    Some(running) => {
                        let lines = running.iter().map(|n| format!("{n}\n").into_bytes());
                        Expected::OneOf(lines.chain([content]).collect())
                    }
                }
            }
            Class::Unknown => Expected::Anything,
            _ => Expected::Exactly(content),
        }
    }
}

fn make(grammar: &Grammar, next_id: &mut u64, kind: KindId) -> Dir {
    *next_id += 1;
    let id = *next_id;
    let of = &grammar.kinds[kind];
    let mut contents: Vec<Vec<u8>> = of.files.iter().map(|file| file.first.clone()).collect();
    if let Some((file, _)) = of.list {
        contents[file] = b"0\n".to_vec();
    }
    Dir {
        id,
        kind,
        contents,
        subs: of
            .subs
            .iter()
            .map(|(_, sub)| make(grammar, next_id, *sub))
            .collect(),
        items: Vec::new(),
        walked: 0,
    }
}

/// What a file may read.
#[derive(Debug)]
pub enum Expected {
    /// This.
    Exactly(Vec<u8>),
    /// One of these.
    OneOf(Vec<Vec<u8>>),
    /// A number.
    Number,
    /// A number above 0.
    Positive,
    /// Nothing is known.
    Anything,
}

impl Expected {
    /// Whether a file that reads this is as it must be.
    pub fn admits(&self, content: &[u8]) -> bool {
        match self {
            Self::Exactly(text) => content == text,
            Self::OneOf(texts) => texts.iter().any(|text| content == text),
            Self::Number => crate::class::is_number(content),
            Self::Positive => {
                crate::class::is_number(content) && content != b"0\n" && content[0] != b'-'
            }
            Self::Anything => true,
        }
    }
}
