// SPDX-License-Identifier: GPL-2.0

//! A fuzzer of DAMON's files: random changes of the tree of a running DAMON, each checked.
//!
//!     fuzz [--seed N] [--steps N] [--seconds N] [--least KIND=N[,KIND=N…]] [--more N] [--root DIR]
//!          [--self-test]
//!
//! It learns from the tree which directories and files there are: it walks through it, makes one of
//! each numbered directory, and notes names, modes and first contents. Then it does one step after
//! another:
//!
//! - it writes files: good values in usual and in strange spelling, numbers at and beyond every limit,
//!   words of this and of other files, text with NULs and newlines, of any length up to more than a
//!   page, at any offset, through files that were opened just now or long ago;
//! - it goes to each kind of file, all of them as often, and makes the directories on the way;
//! - it makes and removes numbered directories, while kdamonds run and files below are open;
//! - it gives commands to kdamonds that monitor this process and children that come and die;
//! - it reads files, in pieces and at offsets;
//! - it tries what cannot be done, such as removing a file.
//!
//! A model says what each step must answer and what must be readable then (see `model`, `class` for
//! files, `kdamond` for commands). After each write the file's directory is compared with it, and any
//! other file; every so often the whole tree. Where a kdamond writes files by itself, or ends by itself
//! since its targets have, the model knows what is possible.
//!
//! A step that nothing comes of for a minute and a half is a failure, and the stacks of those that hang are
//! printed. A walk may take hours. A child does it, which is killed before that.
//!
//! A failure prints the last steps and the seed, with which it happens again, as far as it does not
//! depend on when a kdamond does something. Steps are independent of what earlier ones met.
//!
//! A run must have done something of each kind that it counts (see `least`), and have read, written and
//! been refused by each kind of file, as far as it can be. `--least` asks for other numbers. Where steps or
//! `--seconds` are over and that is not done, the run goes on until it is, for `--more` seconds of the
//! guest's time at most (600), and then fails with `too little: KIND N of at least N`. The line before the
//! last says what was done: `did: KIND=N KIND=N …`.
//!
//! `--seconds` ends the run early. `--root` is the tree's `admin` directory; without it that of the loaded
//! module is taken. With the in-tree DAMON's (`/sys/kernel/mm/damon/admin`) the model expects what that one
//! does otherwise: it starts kdamonds without targets, removes the directories before it refuses to make too
//! many new ones, forgets the regions of the last walk when it begins a new one, and answers `EBUSY` while
//! a kdamond refreshes its files.
//!
//! `--self-test` runs with the model as it is, and then breaks one rule of it after the other (see `rules`)
//! and expects that each is found out, most of them in the same step when it is done again.
//!
//! Exit status: 0 if nothing broke, 1 if something did or too little was done, 2 if the arguments are wrong.

mod check;
mod choose;
mod class;
mod cover;
mod fuzzer;
mod grammar;
mod held;
mod kdamond;
mod least;
mod model;
mod odd;
mod plan;
mod rules;
mod steps;
mod text;
mod values;
mod watch;
mod workload;

use crate::{
    fuzzer::{
        empty,
        Fault,
        Fuzzer, //
    },
    least::{
        Counts,
        Kind,
        Least, //
    },
    rules::{
        Rule,
        Rules, //
    },
};
use std::{
    env, fs,
    io::{
        BufRead,
        BufReader, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        ExitCode,
        Stdio, //
    },
    time::{
        Duration,
        Instant, //
    },
};

/// The whole tree is looked at each time so many steps were done.
const WHOLE: u64 = 2_000;

/// Steps in which a broken rule must be found out.
const SELF_TEST: u64 = 40_000;

/// Tells the process that does the work from the one that waits for it.
const WORKER: &str = "DAMON_FUZZ_WORKER";

struct Options {
    seed: u64,
    steps: u64,
    seconds: u64,
    least: Least,
    more: u64,
    root: Option<PathBuf>,
    self_test: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seed: fastrand::u64(..),
        steps: 100_000,
        seconds: u64::MAX,
        least: Least::default(),
        more: 600,
        root: None,
        self_test: false,
    };
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} wants a value"));
        let number = |text: String| {
            let parsed = match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => text.parse(),
            };
            parsed.map_err(|_| format!("{text} is no number"))
        };
        match name.as_str() {
            "--seed" => options.seed = number(value()?)?,
            "--steps" => options.steps = number(value()?)?,
            "--seconds" => options.seconds = number(value()?)?,
            "--least" => options.least.ask(&value()?)?,
            "--more" => options.more = number(value()?)?,
            "--root" => options.root = Some(PathBuf::from(value()?)),
            "--self-test" => options.self_test = true,
            _ => return Err(format!("{name} is not known; see --help")),
        }
    }
    Ok(options)
}

fn help() {
    let lines = include_str!("main.rs").lines();
    for line in lines.filter_map(|line| line.strip_prefix("//!")) {
        println!("{}", line.strip_prefix(' ').unwrap_or(line));
    }
}

/// Where the tree is, and whether it is the in-tree DAMON's.
fn find(root: Option<PathBuf>) -> Result<(PathBuf, bool), String> {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let loaded = |name: &&str| {
        modules
            .lines()
            .any(|line| line.split(' ').next() == Some(*name))
    };
    let ours = ["damon", "damon_rs"].into_iter().find(loaded);
    let admin = |name: &str| Path::new("/sys/kernel/mm").join(name).join("admin");
    let in_tree = ours != Some("damon");
    match (root, ours) {
        (Some(root), _) => Ok((root.clone(), in_tree && root == admin("damon"))),
        (None, Some(name)) => Ok((admin(name), false)),
        (None, None) => Err("no module is loaded; see --root".to_owned()),
    }
}

/// Does steps until it is enough or something breaks.
fn run(fuzzer: &mut Fuzzer, mut enough: impl FnMut(&Fuzzer) -> bool) -> Result<(), Fault> {
    while !enough(fuzzer) {
        fuzzer.step()?;
        if fuzzer.step % WHOLE == 0 {
            fuzzer.check_tree()?;
        }
    }
    fuzzer.finish()
}

/// Fuzzes. Returns what was done in words and by kind; nothing if something broke.
fn fuzz(
    options: &Options,
    least: &mut Least,
    root: &Path,
    in_tree: bool,
) -> Result<Option<(String, Counts)>, String> {
    let begin = Instant::now();
    let seed = options.seed;
    println!("seed {seed:#x}");
    let rules = Rules { broken: None };
    let mut fuzzer = Fuzzer::new(root, rules, in_tree, seed).map_err(|error| error.to_string())?;
    let (files, unknown, kinds) = fuzzer.model.grammar.size();
    println!("{files} kinds of files, {unknown} of them unknown, in {kinds} kinds of directories");
    let (_, tried) = fuzzer.did();
    least.unless_asked(Kind::KindsRead, tried.read.1);
    least.unless_asked(Kind::KindsWritten, tried.written.1);
    least.unless_asked(Kind::KindsRefused, tried.refused.1);
    let (planned, more) = (
        Duration::from_secs(options.seconds),
        Duration::from_secs(options.more),
    );
    let mut over = None;
    let result = run(&mut fuzzer, |fuzzer| {
        let now = begin.elapsed();
        if fuzzer.step < options.steps && now < planned {
            return false;
        }
        let over = *over.get_or_insert(now);
        now >= over.saturating_add(more) || least.is_met_by_steps(&fuzzer.did().0)
    });
    let (steps, seconds) = (fuzzer.step, begin.elapsed().as_secs());
    let (counts, tried) = fuzzer.did();
    if let Err(fault) = result {
        println!(
            "{}\nFAILED in step {steps} (seed {seed:#x}): {fault}\nthe last steps:\n{}again: fuzz --seed {seed:#x} --steps {}",
            counts.line(),
            fuzzer.watch.told(),
            steps + 1
        );
        // It may hang, and what happened is said.
        let _ = empty(root);
        return Ok(None);
    }
    print!("{}", tried.missing(&fuzzer.model.grammar));
    let text = format!(
        "{steps} steps in {seconds} s (seed {seed:#x}): {}; {}",
        tried.text(),
        counts.text()
    );
    Ok(Some((text, counts)))
}

/// In which step a broken rule is found out, and by what.
fn refute(
    rule: Rule,
    seed: u64,
    root: &Path,
    in_tree: bool,
) -> Result<Option<(u64, Fault)>, String> {
    let rules = Rules { broken: Some(rule) };
    let fuzzer = Fuzzer::new(root, rules, in_tree, seed);
    let mut fuzzer = fuzzer.map_err(|error| error.to_string())?;
    let result = run(&mut fuzzer, |fuzzer| fuzzer.step >= SELF_TEST);
    Ok(result.err().map(|fault| (fuzzer.step, fault)))
}

/// Breaks one rule after the other, and counts those that are found out, and again with the same seed. Returns
/// that in words.
fn self_test(seed: u64, counts: &mut Counts, root: &Path, in_tree: bool) -> Result<String, String> {
    let all = rules(in_tree);
    for rule in &all {
        let Some((step, fault)) = refute(*rule, seed, root, in_tree)? else {
            println!("{rule:?} not refuted in {SELF_TEST} steps");
            continue;
        };
        counts.add(Kind::RulesRefuted);
        let second = refute(*rule, seed, root, in_tree)?.map(|(step, _)| step);
        if second == Some(step) {
            counts.add(Kind::RulesAgain);
        }
        println!("{rule:?} refuted in step {step}, then in {second:?}: {fault}");
    }
    empty(root).map_err(|error| error.to_string())?;
    Ok(format!(
        "; {} of {} broken rules refuted, {} in the same step again",
        counts.of(Kind::RulesRefuted),
        all.len(),
        counts.of(Kind::RulesAgain)
    ))
}

/// The rules that a self-test breaks.
fn rules(in_tree: bool) -> Vec<Rule> {
    // What the in-tree DAMON thinks of filters is not asked.
    let known = |rule: &Rule| !in_tree || *rule != Rule::OrderedFilter;
    Rule::ALL.into_iter().filter(known).collect()
}

fn work(options: &Options) -> Result<bool, String> {
    let (root, in_tree) = find(options.root.clone())?;
    // It keeps all other users of the in-tree DAMON out.
    let stat = Path::new("/sys/module/damon_stat/parameters/enabled");
    if in_tree && stat.exists() {
        fs::write(stat, "N").map_err(|error| format!("{}: {error}", stat.display()))?;
    }
    // Ways are shorter from there.
    env::set_current_dir(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    println!("the tree is {}", root.display());
    let root = PathBuf::from(".");
    let mut least = options.least.clone();
    let Some((mut text, mut counts)) = fuzz(options, &mut least, &root, in_tree)? else {
        return Ok(false);
    };
    if options.self_test {
        println!("{text}");
        let all = rules(in_tree).len() as u64;
        least.unless_asked(Kind::RulesRefuted, all);
        least.unless_asked(Kind::RulesAgain, all / 2);
        text += &self_test(options.seed, &mut counts, &root, in_tree)?;
    }
    let missing = least.missing(&counts);
    for kind in &missing {
        println!("too little: {kind}");
    }
    println!("{}", counts.line());
    let end = match missing.len() {
        0 => "nothing broke".to_owned(),
        few => format!("too little of {few} kinds"),
    };
    println!("{text}; {end}");
    Ok(missing.is_empty())
}

/// Has another process do the work: one that hangs in the kernel cannot end, but be left alone.
fn supervise() -> Result<ExitCode, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let worker = Command::new(program)
        .args(env::args_os().skip(1))
        .env(WORKER, "1")
        .stdout(Stdio::piped())
        .spawn();
    let mut worker = worker.map_err(|error| error.to_string())?;
    let output = worker.stdout.take().ok_or("no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| error.to_string())?;
        println!("{line}");
        if line == watch::HUNG {
            return Ok(ExitCode::FAILURE);
        }
    }
    let status = worker.wait().map_err(|error| error.to_string())?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

fn main() -> ExitCode {
    let asked = |name: &str| env::args().skip(1).any(|argument| argument == name);
    if asked(workload::OPTION) {
        workload::run();
        return ExitCode::SUCCESS;
    }
    if asked("--help") || asked("-h") {
        help();
        return ExitCode::SUCCESS;
    }
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("fuzz: {error}");
            return ExitCode::from(2);
        }
    };
    let result = match env::var_os(WORKER) {
        Some(_) => work(&options).map(|good| ExitCode::from(u8::from(!good))),
        None => supervise(),
    };
    result.unwrap_or_else(|error| {
        println!("FAILED: {error}");
        ExitCode::FAILURE
    })
}
