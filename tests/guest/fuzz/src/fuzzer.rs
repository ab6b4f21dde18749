// SPDX-License-Identifier: GPL-2.0

//! What a run consists of: the tree, its model, the processes, and the count of what was done.

use crate::{
    class::PAGE,
    cover::{
        Cover,
        Tried, //
    },
    grammar::Grammar,
    held::Held,
    least::{
        Counts,
        Kind, //
    },
    model::{
        Hop,
        Model, //
    },
    rules::Rules,
    steps::Step,
    watch::{
        Record,
        Watch, //
    },
    workload::Workloads, //
};
use fastrand::Rng;
use std::{
    collections::VecDeque,
    fs::{
        self,
        File, //
    },
    io::{
        self,
        Read, //
    },
    path::{
        Path,
        PathBuf, //
    },
};

/// What went wrong, in words.
pub type Fault = String;

/// A run.
pub struct Fuzzer {
    /// The tree's top.
    pub root: PathBuf,
    /// What must be readable.
    pub model: Model,
    /// Decides what the present step does.
    pub rng: Rng,
    /// The present step's number.
    pub step: u64,
    /// The watchdog.
    pub watch: Watch,
    /// The processes to monitor.
    pub workloads: Workloads,
    /// Files that are kept open.
    pub held: Vec<Held>,
    /// What is to be done next.
    pub plan: VecDeque<Step>,
    /// Kdamonds that have ended, but may have left something in files before.
    pub unsettled: Vec<usize>,
    /// How often something was done.
    counts: Counts,
    /// Which files were tried.
    pub cover: Cover,
    /// Files in the tree, as of the last change.
    pub size: usize,
    seed: u64,
}

impl Fuzzer {
    /// Begins with an empty tree.
    pub fn new(root: &Path, rules: Rules, in_tree: bool, seed: u64) -> io::Result<Self> {
        empty(root)?;
        let grammar = Grammar::learn(root)?;
        let mut fuzzer = Self {
            root: root.to_owned(),
            model: Model::new(grammar, rules, in_tree),
            rng: Rng::with_seed(seed),
            step: 0,
            watch: Watch::start(),
            workloads: Workloads::default(),
            held: Vec::new(),
            plan: VecDeque::new(),
            unsettled: Vec::new(),
            counts: Counts::default(),
            cover: Cover::default(),
            size: 0,
            seed,
        };
        let own = i64::from(std::process::id());
        fuzzer.model.processes.live.extend([own, 1, 2]);
        Ok(fuzzer)
    }

    /// Does one step, and checks what came of it.
    pub fn step(&mut self) -> Result<(), Fault> {
        // A generator for each step: what an earlier one met does not change what a later one is.
        self.rng = Rng::with_seed(self.seed ^ self.step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let step = match self.plan.pop_front() {
            Some(step) => step,
            None => self.choose(),
        };
        self.carry_out(step)?;
        while let Some(number) = self.unsettled.pop() {
            self.settle(number)?;
        }
        self.step += 1;
        Ok(())
    }

    /// Ends all, and looks whether nothing is left.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.check_tree()?;
        empty(&self.root).map_err(|error| format!("emptying the tree: {error}"))?;
        self.model.kdamonds.clear();
        if let Some(route) = self.model.route("kdamonds") {
            self.model.remake(&route, 0);
        }
        self.check_tree()
    }

    /// Counts something.
    pub fn count(&mut self, kind: Kind) {
        self.counts.add(kind);
    }

    /// What was done so far, and which kinds of files were tried.
    pub fn did(&self) -> (Counts, Tried) {
        let tried = self.cover.tried(&self.model.grammar);
        let mut counts = self.counts.clone();
        counts.set(Kind::Steps, self.step);
        counts.set(Kind::KindsRead, tried.read.0);
        counts.set(Kind::KindsWritten, tried.written.0);
        counts.set(Kind::KindsRefused, tried.refused.0);
        (counts, tried)
    }

    /// Takes note of something that is about to be done.
    pub fn note(&mut self, what: &'static str, path: &str, text: &[u8]) {
        self.watch.begin(Record {
            step: self.step,
            what,
            path: path.to_owned(),
            text: text.to_owned(),
            result: None,
        });
    }

    /// A path in the tree.
    pub fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The path of a file.
    pub fn path_of(&self, route: &[Hop], file: usize) -> String {
        let path = self.model.path(route);
        let Some(dir) = self.model.dir(route) else {
            return path;
        };
        path + &self.model.kind(dir).files[file].name
    }

    /// What a file reads.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read(&mut File::open(self.full(path))?)
    }
}

/// What a file reads: it is handed out at once.
pub fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut buffer = [0; PAGE];
    let length = file.read(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// Stops all kdamonds and removes their directories.
pub fn empty(root: &Path) -> io::Result<()> {
    let kdamonds = root.join("kdamonds");
    for name in crate::grammar::names(&kdamonds)? {
        let state = kdamonds.join(name).join("state");
        if state.exists() {
            // Most do not run.
            let _ = fs::write(state, "off");
        }
    }
    fs::write(kdamonds.join("nr_kdamonds"), "0")
}
