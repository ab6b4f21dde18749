// SPDX-License-Identifier: GPL-2.0

//! Comparison of the tree with the model.

use crate::{
    class::Class,
    fuzzer::{
        read,
        Fault,
        Fuzzer, //
    },
    grammar::names,
    kdamond::Run,
    least::Kind,
    model::{
        Expected,
        Hop,
        Route, //
    },
};

use nix::{
    fcntl::{
        openat,
        OFlag, //
    },
    sys::stat::Mode,
};
use std::{
    fs::File,
    io, //
};

/// Regions that are looked at after a walk.
const REGIONS: usize = 16;

impl Fuzzer {
    /// Compares a file with the model.
    pub fn check_file(&mut self, route: &[Hop], file: usize) -> Result<(), Fault> {
        let path = self.path_of(route, file);
        let content = self.read(&path);
        let content = content.map_err(|error| format!("{path} cannot be read: {error}"))?;
        self.compare(route, file, &content)
    }

    /// Compares what a file reads with the model, and takes over what the model cannot know.
    pub fn compare(&mut self, route: &[Hop], file: usize, content: &[u8]) -> Result<(), Fault> {
        let expected = self.model.expected(route, file);
        if !expected.admits(content) {
            let path = self.path_of(route, file);
            let expected = match &expected {
                Expected::Exactly(text) => format!("\"{}\"", short(text)),
                Expected::OneOf(texts) => {
                    let texts: Vec<_> = texts.iter().map(|text| short(text)).collect();
                    format!("one of {texts:?}")
                }
                other => format!("{other:?}"),
            };
            return Err(format!(
                "{path} reads \"{}\" and not {expected}",
                short(content)
            ));
        }
        let kdamond = self.model.kdamond_of(route);
        let Some(dir) = self.model.dir(route) else {
            return Ok(());
        };
        self.cover.read(dir.kind, file);
        match &self.model.kind(dir).files[file].class {
            Class::State => {
                if let (b"off\n", Some(number)) = (content, kdamond) {
                    if self.model.kdamonds[number].run == Run::Ending {
                        self.model.kdamonds[number].run = Run::Off;
                        self.unsettled.push(number);
                        self.count(Kind::Ends);
                    }
                }
            }
            Class::Thread => {
                let pid = String::from_utf8_lossy(content).trim().parse();
                if let (Some(number), Ok(pid)) = (kdamond, pid) {
                    let kdamond = &mut self.model.kdamonds[number];
                    kdamond.thread = (kdamond.run == Run::On).then_some(pid);
                }
            }
            Class::Report | Class::Unknown | Class::Number { tuned: true, .. } => {
                if let Some(dir) = self.model.dir_mut(route) {
                    dir.contents[file] = content.to_vec();
                }
            }
            _ => (),
        }
        Ok(())
    }

    /// Compares all files of a directory with the model.
    pub fn check_dir(&mut self, route: &[Hop]) -> Result<(), Fault> {
        let path = self.model.path(route);
        let top = File::open(self.full(&path));
        let top = top.map_err(|error| format!("{path} cannot be opened: {error}"))?;
        for file in 0..self.model.dir(route).map_or(0, |dir| dir.contents.len()) {
            let Some(dir) = self.model.dir(route) else {
                break;
            };
            // The names on the way are looked up once.
            let name = self.model.kind(dir).files[file].name.as_str();
            let content = openat(&top, name, OFlag::O_RDONLY, Mode::empty())
                .map_err(io::Error::from)
                .and_then(|open| read(&mut File::from(open)))
                .map_err(|error| format!("{path}{name} cannot be read: {error}"))?;
            self.compare(route, file, &content)?;
        }
        Ok(())
    }

    /// Compares the names in a directory with the model.
    pub fn check_names(&mut self, route: &[Hop]) -> Result<(), Fault> {
        let path = self.model.path(route);
        let Some(dir) = self.model.dir(route) else {
            return Ok(());
        };
        let kind = self.model.kind(dir);
        let items = dir.items.len().max(dir.walked);
        let files = kind.files.iter().map(|file| file.name.clone());
        let subs = kind.subs.iter().map(|(name, _)| name.clone());
        let numbers = (0..items).map(|number| number.to_string());
        let mut expected: Vec<String> = files.chain(subs).chain(numbers).collect();
        let found = names(&self.full(&path));
        let mut found = found.map_err(|error| format!("{path} cannot be listed: {error}"))?;
        expected.sort();
        found.sort();
        if found != expected {
            let text = format!("{path} has {found:?} and not {expected:?}");
            return Err(text);
        }
        Ok(())
    }

    /// Compares the whole tree with the model.
    pub fn check_tree(&mut self) -> Result<(), Fault> {
        self.count(Kind::WholeTrees);
        self.check_below(&[])
    }

    /// Compares a directory and all below with the model.
    pub fn check_below(&mut self, route: &[Hop]) -> Result<(), Fault> {
        for route in self.model.routes(route) {
            self.check_names(&route)?;
            self.check_dir(&route)?;
        }
        Ok(())
    }

    /// The ways to a kdamond's directories with files that it may write.
    fn reports(&self, number: usize) -> Vec<(Route, usize)> {
        let Some(route) = self.model.route(&format!("kdamonds/{number}")) else {
            return Vec::new();
        };
        let reports = |route: Route| {
            let dir = self.model.dir(&route)?;
            let files = &self.model.kind(dir).files;
            let reported = files.iter().enumerate().filter(|(_, file)| {
                matches!(
                    file.class,
                    Class::Report | Class::Number { tuned: true, .. }
                )
            });
            let found: Vec<_> = reported.map(|(file, _)| (route.clone(), file)).collect();
            Some(found)
        };
        self.model
            .routes(&route)
            .into_iter()
            .filter_map(reports)
            .flatten()
            .collect()
    }

    /// Takes over what a kdamond has left in files, once it writes no more.
    pub fn settle(&mut self, number: usize) -> Result<(), Fault> {
        if number >= self.model.kdamonds.len() {
            return Ok(());
        }
        self.model.kdamonds[number].publishing = true;
        for (route, file) in self.reports(number) {
            self.check_file(&route, file)?;
        }
        let kdamond = &self.model.kdamonds[number];
        let goes_on = kdamond.run != Run::Off && self.model.is_refreshing(number);
        self.model.kdamonds[number].publishing = goes_on;
        Ok(())
    }

    /// Takes over the intervals of a running kdamond, which it has just written.
    pub fn settle_intervals(&mut self, number: usize) -> Result<(), Fault> {
        let intervals = format!("kdamonds/{number}/contexts/0/monitoring_attrs/intervals");
        for name in ["sample_us", "aggr_us"] {
            let values = self.model.kdamonds[number]
                .interval(name)
                .map(<[_]>::to_vec);
            let route = self.model.route(&intervals).unwrap_or_default();
            let (Some(values), Some(file)) = (values, self.model.file(&route, name)) else {
                return self.settle(number);
            };
            let path = self.path_of(&route, file);
            let found = self
                .read(&path)
                .map_err(|error| format!("{path}: {error}"))?;
            let lines = values.iter().map(|value| format!("{value}\n").into_bytes());
            let lines: Vec<_> = lines.collect();
            if !lines.contains(&found) {
                let found = short(&found);
                return Err(format!(
                    "{path} reads \"{found}\", the kdamond has one of {values:?}"
                ));
            }
            if let Some(dir) = self.model.dir_mut(&route) {
                dir.contents[file] = found;
            }
        }
        Ok(())
    }

    /// Takes over what a walk has left below a kdamond, if it makes sense.
    pub fn settle_walk(&mut self, number: usize, with_regions: bool) -> Result<(), Fault> {
        let schemes = self
            .model
            .route(&format!("kdamonds/{number}/contexts/0/schemes"));
        let schemes = schemes.unwrap_or_default();
        let count = self.model.dir(&schemes).map_or(0, |dir| dir.items.len());
        for scheme in 0..count {
            let path = format!("kdamonds/{number}/contexts/0/schemes/{scheme}/tried_regions");
            let route = self.model.route(&path).unwrap_or_default();
            let Some(file) = self.model.file(&route, "total_bytes") else {
                return Ok(());
            };
            let content = self.read(&format!("{path}/total_bytes"));
            let content = content.map_err(|error| format!("{path}/total_bytes: {error}"))?;
            let total: Option<u64> = String::from_utf8_lossy(&content).trim().parse().ok();
            let total = total.ok_or_else(|| format!("{path}/total_bytes is no number"))?;
            let regions = names(&self.full(&path)).map_err(|error| format!("{path}: {error}"))?;
            let regions = regions.iter().filter(|name| name.parse::<usize>().is_ok());
            let regions = regions.count();
            if !with_regions && regions > 0 && !self.model.in_tree {
                return Err(format!(
                    "{path} has regions, although only bytes were asked for"
                ));
            }
            let mut sum = 0u64;
            for region in 0..regions.min(REGIONS) {
                let number = |name: &str| -> Result<u64, Fault> {
                    let path = format!("{path}/{region}/{name}");
                    let content = self
                        .read(&path)
                        .map_err(|error| format!("{path}: {error}"))?;
                    let text = String::from_utf8_lossy(&content);
                    let number = text.strip_suffix('\n').and_then(|text| text.parse().ok());
                    number.ok_or_else(|| format!("{path} reads {text:?}"))
                };
                let (start, end) = (number("start")?, number("end")?);
                for name in ["nr_accesses", "age", "sz_filter_passed"] {
                    number(name)?;
                }
                if start >= end {
                    return Err(format!("{path}/{region} is from {start} to {end}"));
                }
                sum = sum.saturating_add(end - start);
            }
            if with_regions && regions <= REGIONS && sum != total {
                return Err(format!(
                    "{path} has {sum} bytes in regions and {total} in total"
                ));
            }
            if let Some(dir) = self.model.dir_mut(&route) {
                dir.contents[file] = content;
                dir.walked = regions;
            }
            self.check_names(&route)?;
        }
        Ok(())
    }

    /// Takes note that a kdamond's walks have been forgotten.
    pub fn clear_walks(&mut self, number: usize) {
        let Some(route) = self.model.route(&format!("kdamonds/{number}")) else {
            return;
        };
        for route in self.model.routes(&route) {
            if let Some(file) = self.model.file(&route, "total_bytes") {
                if let Some(dir) = self.model.dir_mut(&route) {
                    dir.contents[file] = b"0\n".to_vec();
                    dir.walked = 0;
                }
            }
        }
    }
}

/// A content to be shown.
fn short(content: &[u8]) -> String {
    let shown = &content[..content.len().min(60)];
    match content.len() - shown.len() {
        0 => shown.escape_ascii().to_string(),
        more => format!("{}…{more} more", shown.escape_ascii()),
    }
}
