// SPDX-License-Identifier: GPL-2.0

//! Files that are kept open, also when their directory goes.

use crate::{
    class::PAGE,
    fuzzer::{
        Fault,
        Fuzzer, //
    },
    least::Kind,
    model::Route,
    rules::Rule,
    steps::{
        code,
        expect, //
    },
    watch::errno, //
};
use nix::libc::{
    ENODEV,
    ENOENT, //
};
use std::{
    fs::{
        File,
        OpenOptions, //
    },
    os::unix::fs::FileExt, //
};

/// A file that is kept open.
pub struct Held {
    /// Where it was opened.
    pub route: Route,
    /// The directory's number in the model.
    pub id: u64,
    /// The file's index in its directory's kind.
    pub file: usize,
    /// Whether it is open for writing.
    pub writable: bool,
    /// It.
    pub open: File,
}

impl Fuzzer {
    /// Opens a file, and keeps it open.
    pub fn hold(&mut self, route: Route, name: &str) -> Result<(), Fault> {
        let (Some(dir), Some(file)) = (self.model.dir(&route), self.model.file(&route, name))
        else {
            return Ok(());
        };
        let (id, writable) = (dir.id, self.model.kind(dir).files[file].writable);
        let path = self.path_of(&route, file);
        self.note("open", &path, b"");
        let open = OpenOptions::new()
            .read(true)
            .write(writable)
            .open(self.full(&path));
        let open = open.map_err(|error| format!("{path} cannot be opened: {error}"))?;
        self.watch.end(Ok(0));
        self.count(Kind::OpensKept);
        self.held.push(Held {
            route,
            id,
            file,
            writable,
            open,
        });
        Ok(())
    }

    /// Whether the directory of an open file is still the one in which it was opened.
    fn is_there(&self, held: &Held) -> bool {
        self.model
            .dir(&held.route)
            .is_some_and(|dir| dir.id == held.id)
    }

    fn gone(&self) -> i32 {
        match self.model.rules.is_broken(Rule::OpenFileOfRemoved) {
            true => ENOENT,
            false => ENODEV,
        }
    }

    /// Reads a file that is kept open.
    pub fn read_held(&mut self, index: usize) -> Result<(), Fault> {
        let (there, route) = (
            self.is_there(&self.held[index]),
            self.held[index].route.clone(),
        );
        let path = self.model.path(&route);
        self.note("read the open", &path, b"");
        let mut found = vec![0; PAGE];
        let result = self.held[index].open.read_at(&mut found, 0);
        let result = result.map_err(|error| code(&error));
        self.watch.end(result);
        self.count(Kind::Reads);
        if !there {
            self.count(Kind::GoneFiles);
            return expect(&path, result, None, &[self.gone()]);
        }
        let length = result.map_err(|error| format!("{path} fails with {}", errno(error)))?;
        self.compare(&route, self.held[index].file, &found[..length])
    }

    /// Writes a file that is kept open.
    pub fn write_held(&mut self, index: usize, text: &[u8]) -> Result<(), Fault> {
        let held = &self.held[index];
        let (there, file, route) = (self.is_there(held), held.file, held.route.clone());
        let path = self.model.path(&route);
        if there && self.may_wait(&route, file, text) {
            return Ok(());
        }
        self.note("write the open", &path, text);
        let result = self.held[index].open.write_at(text, 0);
        if there {
            return self.written(&route, file, text, result);
        }
        let result = result.map_err(|error| code(&error));
        self.watch.end(result);
        self.count(Kind::GoneFiles);
        expect(&path, result, None, &[self.gone()])
    }
}
