// SPDX-License-Identifier: GPL-2.0

//! Steps: what can be done with the tree, and how it is done and judged.

use crate::{
    class::{
        Class,
        Command,
        Effect,
        PAGE, //
    },
    fuzzer::{
        Fault,
        Fuzzer, //
    },
    kdamond::Run,
    least::Kind,
    model::{
        Expected,
        Hop,
        Route, //
    },
    odd::Odd,
    rules::Rule,
    watch::errno, //
};
use nix::libc::{
    EACCES,
    EBUSY,
    EIO,
    ENOMEM,
    EPERM, //
};
use std::{
    fs::{
        File,
        OpenOptions, //
    },
    io::{
        self,
        Read,
        Write, //
    },
    os::unix::fs::FileExt, //
};

/// How a file is written.
#[derive(Clone, Copy)]
pub enum Writing {
    /// As `echo x >file` does.
    Truncating,
    /// As `echo x >>file` does.
    Appending,
    /// From an offset.
    At(u64),
}

/// How a file is read.
#[derive(Clone, Copy)]
pub enum Reading {
    /// So many bytes at a time.
    Pieces(usize),
    /// So many bytes, from an offset.
    At(u64, usize),
}

/// A step.
pub enum Step {
    /// Writes a file.
    Write(Route, String, Vec<u8>, Writing),
    /// Reads a file.
    Read(Route, String, Reading),
    /// Opens a file, and keeps it open.
    Hold(Route, String),
    /// Reads a file that is kept open.
    ReadHeld(usize),
    /// Writes a file that is kept open.
    WriteHeld(usize, Vec<u8>),
    /// Closes it.
    Release(usize),
    /// Something that cannot be done.
    Odd(Route, Odd),
    /// Kills a child.
    Kill(usize),
    /// Starts a child.
    Start,
    /// Compares all that is below a directory with the model.
    Look(Route),
}

/// The errno of a failure.
pub fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

impl Fuzzer {
    /// Does a step, and checks what came of it. One that has become impossible is left out.
    pub fn carry_out(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Write(route, name, text, how) => {
                let Some(file) = self.model.file(&route, &name) else {
                    return Ok(());
                };
                let path = self.path_of(&route, file);
                self.note("write", &path, &text);
                let waits = self.may_wait(&route, file, &text);
                let mut options = OpenOptions::new();
                match how {
                    Writing::Truncating => options.write(true).truncate(true),
                    Writing::Appending => options.append(true),
                    Writing::At(_) => options.read(true).write(true),
                };
                let opened = options.open(self.full(&path));
                let write = |mut file: File| match how {
                    Writing::At(offset) => file.write_at(&text, offset),
                    _ => file.write(&text),
                };
                let result = opened.and_then(|file| match waits {
                    // It takes all of the text or fails.
                    true => self
                        .watch
                        .in_child(|| write(file).map_err(|error| code(&error)))
                        .map(|_| text.len()),
                    false => write(file),
                });
                self.written(&route, file, &text, result)
            }
            Step::Read(route, name, how) => {
                let Some(file) = self.model.file(&route, &name) else {
                    return Ok(());
                };
                self.read_step(&route, file, how)
            }
            Step::Hold(route, name) => self.hold(route, &name),
            Step::ReadHeld(index) if index < self.held.len() => self.read_held(index),
            Step::WriteHeld(index, text) if index < self.held.len() => {
                self.write_held(index, &text)
            }
            Step::Release(index) if index < self.held.len() => {
                drop(self.held.swap_remove(index));
                Ok(())
            }
            Step::Odd(route, odd) => self.odd(&route, odd),
            Step::Kill(index) => {
                self.note("kill", "a child", b"");
                let killed = self
                    .workloads
                    .kill(index)
                    .map_err(|error| error.to_string())?;
                self.watch.end(Ok(0));
                if let Some(pid) = killed {
                    self.model.processes.live.remove(&pid);
                    self.model.processes.dead.insert(pid);
                    self.model.mark_ending();
                    self.count(Kind::Kills);
                }
                Ok(())
            }
            Step::Start => {
                self.note("start", "a child", b"");
                let started = self.workloads.start().map_err(|error| error.to_string())?;
                self.watch.end(Ok(0));
                if let Some(pid) = started {
                    self.model.processes.live.insert(pid);
                    self.model.processes.dead.remove(&pid);
                }
                Ok(())
            }
            Step::Look(route) => {
                let path = self.model.path(&route);
                self.note("look", &path, b"");
                self.check_below(&route)?;
                self.watch.end(Ok(0));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a write is one that may have to wait for as long as intervals are.
    pub fn may_wait(&self, route: &[Hop], file: usize, text: &[u8]) -> bool {
        let Some(dir) = self.model.dir(route) else {
            return false;
        };
        let class = &self.model.kind(dir).files[file].class;
        *class == Class::State
            && matches!(
                class.judge(text, &self.model.rules),
                Ok(Effect::Does(Command::TriedBytes | Command::TriedRegions))
            )
    }

    /// Judges what came of a write, and compares the directory with the model.
    pub fn written(
        &mut self,
        route: &[Hop],
        file: usize,
        text: &[u8],
        result: io::Result<usize>,
    ) -> Result<(), Fault> {
        let result = result.map_err(|error| code(&error));
        self.watch.end(result);
        self.count(match result {
            Ok(_) => Kind::WritesTaken,
            Err(_) => Kind::WritesRefused,
        });
        let kind = self.model.dir(route).map(|dir| dir.kind);
        self.judge(route, file, text, result)?;
        if let Some(kind) = kind.filter(|_| !text.is_empty()) {
            self.cover.written(kind, file, result.is_ok());
        }
        self.check_dir(route)?;
        // Any other file, too.
        let (route, file) = self.pick_file();
        self.check_file(&route, file)
    }

    fn judge(
        &mut self,
        route: &[Hop],
        file: usize,
        text: &[u8],
        result: Result<usize, i32>,
    ) -> Result<(), Fault> {
        let path = self.path_of(route, file);
        let Some(dir) = self.model.dir(route) else {
            return Ok(());
        };
        let kind = &self.model.kind(dir).files[file];
        if !kind.writable {
            return expect(&path, result, None, &[EACCES, EPERM, EIO]);
        }
        let publishing = self.model.kdamonds.iter().any(|kdamond| kdamond.publishing);
        if self.model.in_tree && publishing && result == Err(EBUSY) {
            // Its kdamonds hold a lock now and then that its files want at once.
            return Ok(());
        }
        let whole = text.len().min(PAGE);
        match kind.class.judge(text, &self.model.rules) {
            Ok(Effect::None) => expect(&path, result, Some(0), &[]),
            Ok(Effect::Unknown) => Ok(()),
            Ok(Effect::Reads(content)) => {
                expect(&path, result, Some(whole), &[])?;
                self.set(route, file, content);
                self.after_value(route)
            }
            Ok(Effect::Makes(count)) => {
                let runs = |run| self.model.kdamonds.iter().any(|kdamond| kdamond.run == run);
                let top = route.len() == 1 && !self.model.rules.is_broken(Rule::BusyKdamonds);
                match (top && runs(Run::On), top && runs(Run::Ending)) {
                    (true, _) => return expect(&path, result, None, &[EBUSY]),
                    (_, true) => expect(&path, result, Some(whole), &[EBUSY])?,
                    _ => expect(&path, result, Some(whole), &[])?,
                }
                match result {
                    Ok(_) => self.remade(route, count),
                    Err(_) => Ok(()),
                }
            }
            Ok(Effect::Does(command)) => {
                let Some(number) = self.model.kdamond_of(route) else {
                    return Ok(());
                };
                let answers = self.model.answers(number, command);
                expect(
                    &path,
                    result,
                    answers.taken.then_some(whole),
                    &answers.errors,
                )?;
                self.done(number, command, result.map(|_| ()))
            }
            Err(ENOMEM) => {
                expect(&path, result, None, &[ENOMEM, EBUSY])?;
                if self.model.in_tree && result == Err(ENOMEM) {
                    // It removes the present directories first.
                    return self.remade(route, 0);
                }
                Ok(())
            }
            Err(error) => {
                expect(&path, result, None, &[error])?;
                if self.model.rules.is_broken(Rule::OldValueStays) {
                    self.set(route, file, text.to_vec());
                }
                Ok(())
            }
        }
    }

    fn set(&mut self, route: &[Hop], file: usize, content: Vec<u8>) {
        if let Some(dir) = self.model.dir_mut(route) {
            dir.contents[file] = content;
        }
    }

    /// What follows from a new value of a file.
    fn after_value(&mut self, route: &[Hop]) -> Result<(), Fault> {
        let Some(number) = self.model.kdamond_of(route) else {
            return Ok(());
        };
        let runs = self.model.kdamonds[number].run != Run::Off;
        if runs && self.model.is_refreshing(number) {
            self.model.kdamonds[number].publishing = true;
        }
        Ok(())
    }

    /// Takes note that numbered directories were made anew, and looks at them.
    fn remade(&mut self, route: &[Hop], count: usize) -> Result<(), Fault> {
        self.model.remake(route, count);
        self.size = self.model.size();
        self.count(Kind::Directories);
        self.check_names(route)?;
        if count > 0 {
            // One of them with some of what is in it.
            let mut at = route.to_vec();
            at.push(Hop::Item(self.rng.usize(0..count)));
            self.check_names(&at)?;
            self.check_dir(&at)?;
            let below = self.model.routes(&at);
            for _ in 0..3 {
                let at = &below[self.rng.usize(0..below.len())];
                self.check_names(at)?;
                self.check_dir(at)?;
            }
        }
        Ok(())
    }

    /// Takes note of a command that was carried out, or not, and looks at what it should have changed.
    fn done(
        &mut self,
        number: usize,
        command: Command,
        result: Result<(), i32>,
    ) -> Result<(), Fault> {
        self.model.commanded(number, command, result);
        let kdamond = &self.model.kdamonds[number];
        if kdamond.run == Run::Off && kdamond.publishing {
            // It was found to have ended.
            self.unsettled.push(number);
        }
        if result.is_err() {
            if self.model.in_tree && matches!(command, Command::TriedBytes | Command::TriedRegions)
            {
                // It forgets the last walk before it begins another one.
                self.settle_walk(number, true)?;
            }
            return Ok(());
        }
        self.count(match command {
            Command::On => Kind::Ons,
            Command::Off => Kind::Offs,
            Command::Commit => Kind::Commits,
            Command::TriedBytes | Command::TriedRegions => Kind::Walks,
            _ => Kind::OtherCommands,
        });
        match command {
            Command::On if self.model.kdamonds[number].publishing => self.unsettled.push(number),
            Command::Off => self.unsettled.push(number),
            Command::Intervals => self.settle_intervals(number)?,
            Command::TriedBytes => self.settle_walk(number, false)?,
            Command::TriedRegions => self.settle_walk(number, true)?,
            Command::ClearTried => self.clear_walks(number),
            Command::Stats | Command::Quotas => self.settle(number)?,
            _ => (),
        }
        Ok(())
    }

    fn read_step(&mut self, route: &[Hop], file: usize, how: Reading) -> Result<(), Fault> {
        let path = self.path_of(route, file);
        self.note("read", &path, b"");
        self.count(Kind::Reads);
        let mut found = Vec::new();
        let open = File::open(self.full(&path));
        let result = open.and_then(|mut open| match how {
            Reading::Pieces(size) => {
                let mut piece = vec![0; size];
                loop {
                    match open.read(&mut piece)? {
                        0 => return Ok(found.len()),
                        length => found.extend_from_slice(&piece[..length]),
                    }
                }
            }
            Reading::At(offset, size) => {
                found.resize(size, 0);
                let length = open.read_at(&mut found, offset)?;
                found.truncate(length);
                Ok(length)
            }
        });
        self.watch.end(result.as_ref().map_err(code).copied());
        result.map_err(|error| format!("{path} cannot be read: {error}"))?;
        let Reading::At(offset, size) = how else {
            return self.compare(route, file, &found);
        };
        let part = |content: &[u8]| {
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(content.len());
            content[from..]
                .iter()
                .take(size)
                .copied()
                .collect::<Vec<u8>>()
        };
        let right = match self.model.expected(route, file) {
            Expected::Exactly(content) => part(&content) == found,
            Expected::OneOf(contents) => contents.iter().any(|content| part(content) == found),
            _ => true,
        };
        if !right {
            let shown = found.escape_ascii();
            return Err(format!(
                "{path} reads \"{shown}\" at {offset}, of {size} bytes"
            ));
        }
        Ok(())
    }
}

/// Fails if a write neither has this result, nor one of these errors.
pub fn expect(
    path: &str,
    result: Result<usize, i32>,
    taken: Option<usize>,
    errors: &[i32],
) -> Result<(), Fault> {
    let right = match result {
        Ok(length) => taken == Some(length),
        Err(error) => errors.contains(&error),
    };
    if right {
        return Ok(());
    }
    let found = match result {
        Ok(length) => format!("took {length} bytes"),
        Err(error) => format!("failed with {}", errno(error)),
    };
    let taken = taken.map(|length| format!("take {length} bytes"));
    let fail = (!errors.is_empty()).then(|| {
        let names: Vec<_> = errors.iter().map(|error| errno(*error)).collect();
        format!("fail with {}", names.join(" or "))
    });
    let expected: Vec<_> = taken.into_iter().chain(fail).collect();
    Err(format!("{path} {found}; it must {}", expected.join(" or ")))
}
