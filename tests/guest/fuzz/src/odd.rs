// SPDX-License-Identifier: GPL-2.0

//! What cannot be done with the tree: names that are not there, and changes other than writes.

use crate::{
    fuzzer::{
        Fault,
        Fuzzer, //
    },
    least::Kind,
    model::Hop,
    steps::expect, //
};
use nix::libc::{
    EACCES,
    EEXIST,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    EPERM, //
};
use std::{
    fs::{
        self,
        File,
        OpenOptions, //
    },
    io,
    os::unix::fs::symlink, //
};

/// Something that cannot be done in a directory.
#[derive(Clone, Copy, Debug)]
pub enum Odd {
    /// Opening what is not there.
    Missing,
    /// Opening the numbered directory behind the last.
    Next,
    /// Opening a numbered directory by another spelling of its number.
    Spelling,
    /// Opening something in a file.
    Inside,
    /// Opening a directory for writing.
    WriteDir,
    /// Opening a name of too many letters.
    Long,
    /// Making a file.
    Create,
    /// Making a directory.
    MakeDir,
    /// Making the next numbered directory by hand.
    MakeNext,
    /// Removing a file.
    Remove,
    /// Removing the directory.
    RemoveDir,
    /// Renaming a file.
    Rename,
    /// Making a symbolic link.
    Link,
}

/// All of them.
pub const ODDS: [Odd; 13] = [
    Odd::Missing,
    Odd::Next,
    Odd::Spelling,
    Odd::Inside,
    Odd::WriteDir,
    Odd::Long,
    Odd::Create,
    Odd::MakeDir,
    Odd::MakeNext,
    Odd::Remove,
    Odd::RemoveDir,
    Odd::Rename,
    Odd::Link,
];

impl Fuzzer {
    /// Tries it, and checks that it fails and changes nothing.
    pub fn odd(&mut self, route: &[Hop], odd: Odd) -> Result<(), Fault> {
        let Some(dir) = self.model.dir(route) else {
            return Ok(());
        };
        let next = dir.items.len().max(dir.walked);
        let files = &self.model.kind(dir).files;
        let file = files
            .first()
            .map_or("nothing", |file| &file.name)
            .to_owned();
        let path = self.model.path(route);
        let top = self.full(&path);
        self.note("try in", &path, format!("{odd:?}").as_bytes());
        self.count(Kind::Impossible);
        let write = |name: &str| {
            OpenOptions::new()
                .write(true)
                .open(top.join(name))
                .map(drop)
        };
        let (result, errors): (io::Result<()>, &[i32]) = match odd {
            Odd::Missing => (write("no_such_file"), &[ENOENT]),
            Odd::Next => (
                fs::read_dir(top.join(next.to_string())).map(drop),
                &[ENOENT],
            ),
            Odd::Spelling => (fs::read_dir(top.join("00")).map(drop), &[ENOENT]),
            Odd::Inside => (
                File::open(top.join(file).join("x")).map(drop),
                &[ENOTDIR, ENOENT],
            ),
            Odd::WriteDir => (write("."), &[EISDIR]),
            Odd::Long => (write(&"x".repeat(256)), &[ENAMETOOLONG, ENOENT]),
            Odd::Create => (File::create(top.join("new")).map(drop), &[EACCES, EPERM]),
            Odd::MakeDir => (fs::create_dir(top.join("new")), &[EPERM]),
            Odd::MakeNext => (fs::create_dir(top.join(next.to_string())), &[EPERM]),
            Odd::Remove => (fs::remove_file(top.join(file)), &[EPERM, ENOENT]),
            Odd::RemoveDir => (fs::remove_dir(&top), &[EPERM]),
            Odd::Rename => (
                fs::rename(top.join(file), top.join("new")),
                &[EPERM, ENOENT],
            ),
            Odd::Link => (symlink("new", top.join("link")), &[EPERM, EEXIST]),
        };
        let result = result.map(|()| 0);
        let result = result.map_err(|error| error.raw_os_error().unwrap_or(0));
        self.watch.end(result);
        expect(&format!("{path}: {odd:?}"), result, None, errors)?;
        self.check_names(route)
    }
}
