// SPDX-License-Identifier: GPL-2.0

//! Which step is next: dice, and plans of several steps that lead somewhere.

use crate::{
    class::{
        Class,
        Command,
        Effect,
        COMMANDS, //
    },
    fuzzer::Fuzzer,
    grammar::KindId,
    kdamond::Run,
    model::{
        Dir,
        Hop,
        Route, //
    },
    odd::ODDS,
    steps::{
        Reading,
        Step,
        Writing, //
    },
    values, //
};

/// Above so many directories the tree is not to grow.
const LARGE: usize = 1_500;

/// Files that are kept open, at most.
const HELD: usize = 12;

impl Fuzzer {
    /// Chooses the next step.
    pub fn choose(&mut self) -> Step {
        let kdamonds = self.model.kdamonds.len();
        let running = self
            .model
            .kdamonds
            .iter()
            .filter(|kdamond| kdamond.run != Run::Off);
        let running = running.count();
        if kdamonds == 0 || self.rng.u32(0..2_000) == 0 {
            self.plan_anew();
        } else if self.rng.u32(0..1_000) < [60, 40, 12, 2].get(running).copied().unwrap_or(0) {
            let number = self.rng.usize(0..kdamonds);
            self.plan_command(number, Command::On);
        } else if let Some(number) = self.ending().filter(|_| self.rng.u32(0..1_000) < 50) {
            // What it still writes to files, as its last, are parameters of the next.
            self.plan_command(number, Command::On);
        }
        if let Some(step) = self.plan.pop_front() {
            return step;
        }
        match self.rng.u32(0..1_000) {
            0..250 => self.choose_kind(),
            250..560 => self.choose_value(),
            560..700 => self.choose_read(),
            700..820 => self.choose_command(),
            820..850 => self.choose_count(),
            850..865 => self.choose_read_only(),
            865..890 => {
                let odd = self.rng.choice(ODDS).unwrap_or(ODDS[0]);
                Step::Odd(self.pick_dir(), odd)
            }
            890..910 => self.choose_hold(),
            910..980 => self.choose_held(),
            980..985 => Step::Kill(self.rng.usize(0..3)),
            985..995 => Step::Start,
            _ => {
                let mut route = self.pick_dir();
                // A kdamond's at most.
                route.truncate(route.len().min(self.rng.usize(2..9)));
                Step::Look(route)
            }
        }
    }

    /// A kdamond that may be about to end, and to write to files before.
    fn ending(&self) -> Option<usize> {
        let mut kdamonds = self.model.kdamonds.iter();
        kdamonds.position(|kdamond| kdamond.run == Run::Ending && kdamond.publishing)
    }

    /// The processes that targets may be, some of which are none.
    fn pids(&mut self) -> Vec<i64> {
        let own = i64::from(std::process::id());
        let mut pids = vec![own, 1, 2, 0, -1, 4_194_305, 999_999];
        for pid in self.workloads.pids() {
            pids.extend([pid; 3]);
        }
        pids.extend(self.model.processes.dead.iter().rev().take(2));
        pids
    }

    fn writing(&mut self) -> Writing {
        match self.rng.u8(0..20) {
            0 => Writing::Appending,
            1 => Writing::At(self.rng.u64(0..10)),
            2 => Writing::At(self.rng.u64(0..1 << 40)),
            _ => Writing::Truncating,
        }
    }

    /// A text for a file, and none that is too much work.
    fn text(&mut self, class: &Class) -> Vec<u8> {
        let pids = self.pids();
        let room = self.size < LARGE;
        let text = values::text(&mut self.rng, class, &pids, room);
        match class.judge(&text, &self.model.rules) {
            Ok(Effect::Makes(count)) if count > 40 => b"1\n".to_vec(),
            _ => text,
        }
    }

    /// A value for a file of any kind, where each kind is as likely as any other.
    fn choose_kind(&mut self) -> Step {
        let grammar = &self.model.grammar;
        let kinds = grammar.kinds.iter().enumerate();
        let files: Vec<_> = kinds
            .flat_map(|(id, kind)| (0..kind.files.len()).map(move |file| (id, file)))
            .collect();
        let (kind, file) = self.rng.choice(files).unwrap_or((0, 0));
        if self.model.grammar.kinds[kind].files[file].class == Class::State {
            return self.choose_command();
        }
        let way = self.model.grammar.way(kind);
        let route = self.plan_way(&way);
        let its = &self.model.grammar.kinds[kind].files[file];
        let (class, name) = (its.class.clone(), its.name.clone());
        let text = match its.writable {
            true => self.text(&class),
            false => b"1\n".to_vec(),
        };
        let step = Step::Write(route, name, text, self.writing());
        match self.plan.pop_front() {
            Some(first) => {
                self.plan.push_back(step);
                first
            }
            None => step,
        }
    }

    fn choose_value(&mut self) -> Step {
        let (route, file) = self.pick_file();
        let (class, name, writable) = self.kind_of(&route, file);
        match class {
            _ if !writable => Step::Read(route, name, Reading::Pieces(4096)),
            Class::State => self.choose_command(),
            // There are so many of them that most steps would make directories.
            Class::Count { .. } if self.rng.u8(0..8) > 0 => self.choose_value(),
            Class::Count { .. } => self.choose_count(),
            _ => {
                let text = self.text(&class);
                Step::Write(route, name, text, self.writing())
            }
        }
    }

    fn kind_of(&self, route: &[Hop], file: usize) -> (Class, String, bool) {
        let dir = self.model.dir(route).unwrap_or(&self.model.root);
        let kind = &self.model.kind(dir).files[file];
        (kind.class.clone(), kind.name.clone(), kind.writable)
    }

    fn choose_read(&mut self) -> Step {
        let (route, file) = self.pick_file();
        let (_, name, _) = self.kind_of(&route, file);
        let size = match self.rng.u8(0..4) {
            0 => 1,
            1 => self.rng.usize(1..20),
            2 => self.rng.usize(1..5_000),
            _ => 4096,
        };
        let how = match self.rng.u8(0..3) {
            0 => Reading::At(self.rng.u64(0..12), self.rng.usize(0..20)),
            1 => Reading::At(self.rng.u64(0..1 << 40), size),
            _ => Reading::Pieces(size.max(1)),
        };
        Step::Read(route, name, how)
    }

    fn choose_count(&mut self) -> Step {
        let mut route = self.pick_dir();
        loop {
            let kind = self.model.dir(&route).map(|dir| self.model.kind(dir));
            if let Some(Some((file, _))) = kind.map(|kind| kind.list) {
                let (class, name, _) = self.kind_of(&route, file);
                let text = self.text(&class);
                return Step::Write(route, name, text, self.writing());
            }
            if route.pop().is_none() {
                return Step::Look(Route::new());
            }
        }
    }

    fn choose_read_only(&mut self) -> Step {
        for _ in 0..20 {
            let (route, file) = self.pick_file();
            let (_, name, writable) = self.kind_of(&route, file);
            if !writable {
                return Step::Write(route, name, b"1\n".to_vec(), self.writing());
            }
        }
        self.choose_read()
    }

    fn choose_hold(&mut self) -> Step {
        if self.held.len() >= HELD {
            return Step::Release(self.rng.usize(0..self.held.len()));
        }
        let (route, file) = self.pick_file();
        let (_, name, _) = self.kind_of(&route, file);
        Step::Hold(route, name)
    }

    fn choose_held(&mut self) -> Step {
        if self.held.is_empty() {
            return self.choose_hold();
        }
        let index = self.rng.usize(0..self.held.len());
        let held = &self.held[index];
        // Its directory need not be there, but files of the same kind would be of the same class.
        let class = match self.model.dir(&held.route) {
            Some(dir) if dir.id == held.id => self.model.kind(dir).files[held.file].class.clone(),
            _ => Class::Text,
        };
        if class == Class::State || !held.writable || self.rng.bool() {
            return Step::ReadHeld(index);
        }
        Step::WriteHeld(index, self.text(&class))
    }

    /// A command to any kdamond.
    fn choose_command(&mut self) -> Step {
        let kdamonds = self.model.kdamonds.len();
        if kdamonds == 0 {
            return self.choose_count();
        }
        let number = self.rng.usize(0..kdamonds);
        let command = match self.rng.u8(0..100) {
            0..22 => Command::Commit,
            22..25 => Command::TriedRegions,
            25..27 => Command::TriedBytes,
            27..33 => Command::ClearTried,
            33..43 => Command::Stats,
            43..50 => Command::Quotas,
            50..60 => Command::Intervals,
            60..68 => Command::CommitGoals,
            68..74 => Command::On,
            74..80 => Command::Off,
            _ => {
                let text = self.text(&Class::State);
                let judged = Class::State.judge(&text, &self.model.rules);
                match judged {
                    Ok(Effect::Does(command)) => command,
                    _ => return self.command(number, &text),
                }
            }
        };
        let context = self.model.context(number);
        let expensive = context.is_some_and(|context| self.model.is_expensive(context));
        match command {
            Command::On | Command::Commit if expensive => {
                // Rarely, and not for long.
                if self.rng.u8(0..100) < 90 {
                    self.plan_command(number, command);
                } else {
                    let off = self.command(number, b"off\n");
                    self.plan.push_back(off);
                }
            }
            Command::Commit if self.rng.bool() => self.plan_command(number, command),
            _ => (),
        }
        match self.plan.pop_front() {
            Some(step) if !self.plan.is_empty() => step,
            other => {
                self.plan.extend(other);
                self.spelled(number, command)
            }
        }
    }

    /// The step that gives a command, in one of its spellings.
    pub fn spelled(&mut self, number: usize, command: Command) -> Step {
        let word = COMMANDS.iter().find(|(_, other)| *other == command);
        let word = word.map_or("", |(word, _)| word);
        let end = if self.rng.u8(0..4) == 0 { "" } else { "\n" };
        self.command(number, format!("{word}{end}").as_bytes())
    }

    /// The step that writes this to a kdamond's `state`.
    pub fn command(&self, number: usize, text: &[u8]) -> Step {
        let route = self.model.route(&format!("kdamonds/{number}"));
        Step::Write(
            route.unwrap_or_default(),
            "state".to_owned(),
            text.to_vec(),
            Writing::Truncating,
        )
    }

    /// Any file, as likely as any other.
    pub fn pick_file(&mut self) -> (Route, usize) {
        loop {
            let route = self.pick_dir();
            let files = self.model.dir(&route).map_or(0, |dir| dir.contents.len());
            if files > 0 {
                return (route, self.rng.usize(0..files));
            }
        }
    }

    /// Any directory, those with many files likelier.
    pub fn pick_dir(&mut self) -> Route {
        let weight = |kind: KindId| self.model.grammar.kinds[kind].weight.max(1);
        let mut route = Route::new();
        let mut dir: &Dir = &self.model.root;
        loop {
            let own = dir.contents.len();
            let below = dir.subs.iter().chain(&dir.items);
            let all = own + below.clone().map(|dir| weight(dir.kind)).sum::<usize>();
            if all == 0 {
                return route;
            }
            let mut at = self.rng.usize(0..all);
            if at < own {
                return route;
            }
            at -= own;
            let mut hops = (0..dir.subs.len())
                .map(Hop::Sub)
                .chain((0..dir.items.len()).map(Hop::Item))
                .zip(below);
            let Some((hop, next)) = hops.find(|(_, dir)| {
                let its = weight(dir.kind);
                let found = at < its;
                at = at.saturating_sub(its);
                found
            }) else {
                return route;
            };
            route.push(hop);
            dir = next;
        }
    }
}
