// SPDX-License-Identifier: GPL-2.0

//! What is known of a kdamond, and what its `state` answers.

use crate::{
    class::Command,
    model::{
        Dir,
        Model, //
    },
    rules::Rule, //
};
use nix::libc::{
    EBUSY,
    ECANCELED,
    EINTR,
    EINVAL,
    ENOMEM,
    EOPNOTSUPP,
    EPERM, //
};

/// Whether a kdamond runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Run {
    /// It does not.
    #[default]
    Off,
    /// It does, and has no reason to end.
    On,
    /// It may have ended, as all its targets have or may have.
    Ending,
}

/// What is known of a kdamond.
#[derive(Default)]
pub struct Kdamond {
    /// Whether the last `on` that could was taken.
    pub started: bool,
    /// Whether it runs.
    pub run: Run,
    /// Its thread, if it was seen.
    pub thread: Option<i64>,
    /// Whether it may write results to files by itself.
    pub publishing: bool,
    /// The sampling and the aggregation interval, each one of these; none if it is not known.
    intervals: Option<[Vec<i128>; 2]>,
    /// Whether it is paused, if that is known.
    paused: Option<bool>,
    /// Its number of schemes, if that is known.
    schemes: Option<usize>,
    /// The processes that are its targets, if they are known.
    targets: Option<Vec<i64>>,
    /// Whether the caller of a walk was killed, and the walk may still be there.
    pub walk_left: bool,
}

impl Kdamond {
    /// The values that `sample_us` or `aggr_us` of the running context may have.
    pub fn interval(&self, name: &str) -> Option<&[i128]> {
        let [sample, aggr] = self.intervals.as_ref()?;
        Some(if name == "sample_us" { sample } else { aggr })
    }

    /// Takes note that its intervals may be those that were in force before.
    fn inherit(&mut self, before: &Self) {
        self.intervals = match (self.intervals.take(), &before.intervals) {
            (Some([sample, aggr]), Some(old)) => Some([
                [&sample[..], &old[0]].concat(),
                [&aggr[..], &old[1]].concat(),
            ]),
            // Tuning has chosen these, and nobody knows them.
            _ => None,
        };
    }
}

/// What a command may answer.
#[derive(Debug)]
pub struct Answers {
    /// Whether it may be taken.
    pub taken: bool,
    /// The errors that it may fail with.
    pub errors: Vec<i32>,
}

fn refused(error: i32) -> Answers {
    Answers {
        taken: false,
        errors: vec![error],
    }
}

fn taken() -> Answers {
    Answers {
        taken: true,
        errors: Vec::new(),
    }
}

/// Whether something is so, if that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    Unknown,
}

impl Model {
    /// What a command to a kdamond may answer.
    pub fn answers(&self, number: usize, command: Command) -> Answers {
        let kdamond = &self.kdamonds[number];
        if command == Command::Off {
            return match kdamond.run {
                _ if !kdamond.started => refused(EINVAL),
                Run::Off if self.rules.is_broken(Rule::OffTwice) => refused(EINVAL),
                Run::Off => refused(EPERM),
                Run::On => taken(),
                Run::Ending => Answers {
                    taken: true,
                    errors: vec![EPERM],
                },
            };
        }
        let Some(context) = self.context(number) else {
            return refused(EINVAL);
        };
        match command {
            Command::ClearTried => return taken(),
            Command::On => {
                let mut answers = match kdamond.run {
                    Run::On => return refused(EBUSY),
                    _ => self.judge(context, kdamond, false),
                };
                if kdamond.run == Run::Ending {
                    answers.errors.push(EBUSY);
                }
                return answers;
            }
            _ if !kdamond.started => return refused(EINVAL),
            _ => (),
        }
        let ended = match command {
            // It looks at the parameters first.
            Command::Commit => vec![ECANCELED, EINVAL, ENOMEM, EOPNOTSUPP],
            Command::CommitGoals => vec![ECANCELED, EINVAL, EOPNOTSUPP],
            _ => vec![ECANCELED],
        };
        if kdamond.run == Run::Off {
            return Answers {
                taken: false,
                errors: ended,
            };
        }
        let mut answers = match command {
            Command::Commit => self.judge(context, kdamond, true),
            Command::CommitGoals => Answers {
                taken: true,
                errors: match self.has_goals(context) {
                    true => vec![EOPNOTSUPP, EINVAL],
                    false => Vec::new(),
                },
            },
            Command::TriedBytes | Command::TriedRegions => self.walk(kdamond),
            _ => taken(),
        };
        if kdamond.run == Run::Ending {
            answers.errors.extend(ended);
        }
        answers
    }

    fn walk(&self, kdamond: &Kdamond) -> Answers {
        let paused = match self.rules.is_broken(Rule::PausedWalks) {
            true => Some(false),
            false => kdamond.paused,
        };
        let mut errors = vec![EINTR];
        if kdamond.walk_left {
            errors.push(EBUSY);
        }
        let idle = [paused, kdamond.schemes.map(|schemes| schemes == 0)];
        if idle.contains(&Some(true)) {
            return refused(ECANCELED);
        }
        if idle.contains(&None) {
            errors.push(ECANCELED);
        }
        Answers {
            taken: true,
            errors,
        }
    }

    fn has_goals(&self, context: &Dir) -> bool {
        let schemes = self.below(context, "schemes");
        let mut goals = schemes
            .into_iter()
            .flat_map(|dir| &dir.items)
            .flat_map(|scheme| {
                self.below(scheme, "quotas/goals")
                    .map_or(&[][..], |dir| &dir.items)
            });
        goals.next().is_some()
    }

    /// What `on` and `commit` may answer to the parameters of a context.
    fn judge(&self, context: &Dir, kdamond: &Kdamond, commit: bool) -> Answers {
        let attrs = self.attrs_fit(context, kdamond);
        let targets = self.targets_fit(context, commit);
        let schemes = self.schemes_fit(context);
        let mut errors = vec![EOPNOTSUPP];
        if [attrs, targets] != [Known::Yes; 2] {
            errors.push(EINVAL);
        }
        // Whatever is wrong with a scheme. Some of it only the running kdamond can tell.
        if schemes != Known::Yes {
            errors.extend([ENOMEM, EINVAL]);
        }
        if self.is_expensive(context) {
            errors.push(ENOMEM);
        }
        let parts = [attrs, targets, schemes];
        if parts.contains(&Known::No) {
            return Answers {
                taken: false,
                errors,
            };
        }
        if parts.contains(&Known::Unknown) {
            return Answers {
                taken: true,
                errors,
            };
        }
        taken()
    }

    fn attrs_fit(&self, context: &Dir, kdamond: &Kdamond) -> Known {
        let part = |path| self.below(context, path);
        let (Some(intervals), Some(regions)) = (
            part("monitoring_attrs/intervals"),
            part("monitoring_attrs/nr_regions"),
        ) else {
            return Known::Unknown;
        };
        let limits = (self.number(regions, "min"), self.number(regions, "max"));
        if limits.0 < 3 || limits.0 > limits.1 {
            return Known::No;
        }
        let goal = part("monitoring_attrs/intervals/intervals_goal");
        let has_goal = goal.is_some_and(|goal| self.read(goal, "aggrs") != "0");
        let has_probes = part("monitoring_attrs/probes").is_some_and(|dir| !dir.items.is_empty());
        // What the files say now may be overwritten before it is looked at.
        if has_goal || has_probes || kdamond.publishing {
            return Known::Unknown;
        }
        if self.number(intervals, "sample_us") > self.number(intervals, "aggr_us") {
            return Known::No;
        }
        match self.is_expensive(context) {
            true => Known::Unknown,
            false => Known::Yes,
        }
    }

    fn targets_fit(&self, context: &Dir, commit: bool) -> Known {
        let operations = self.read(context, "operations");
        if operations == "paddr" || self.read(context, "addr_unit") != "1" {
            return Known::Unknown;
        }
        let Some(targets) = self.below(context, "targets") else {
            return Known::Unknown;
        };
        if targets.items.is_empty() && !commit {
            return match self.in_tree {
                true => Known::Unknown,
                false => Known::No,
            };
        }
        let mut known = Known::Yes;
        for target in &targets.items {
            let pid = i64::try_from(self.number(target, "pid_target")).unwrap_or(-1);
            if self.processes.is_dead(pid) {
                return Known::No;
            }
            let regions = self
                .below(target, "regions")
                .map_or(&[][..], |dir| &dir.items);
            let mut covered = 0;
            for region in regions {
                let (start, end) = (self.number(region, "start"), self.number(region, "end"));
                if start > end || start < covered {
                    return Known::No;
                }
                covered = end;
            }
            let obsolete = self.read(target, "obsolete_target") != "N";
            if !self.processes.live.contains(&pid) || obsolete || !regions.is_empty() {
                known = Known::Unknown;
            }
        }
        known
    }

    fn schemes_fit(&self, context: &Dir) -> Known {
        let Some(schemes) = self.below(context, "schemes") else {
            return Known::Unknown;
        };
        let all = schemes.items.iter().map(|scheme| match self.in_tree {
            true => self.is_plain(scheme),
            false => self.scheme_fits(scheme),
        });
        all.fold(Known::Yes, |known, its| match (known, its) {
            (Known::No, _) | (_, Known::No) => Known::No,
            (Known::Yes, Known::Yes) => Known::Yes,
            _ => Known::Unknown,
        })
    }

    /// A scheme with nothing but its access pattern.
    fn is_plain(&self, scheme: &Dir) -> Known {
        let empty = |path| {
            self.below(scheme, path)
                .is_none_or(|dir| dir.items.is_empty())
        };
        let says = |path, name, value| {
            let dir = self.below(scheme, path);
            dir.is_none_or(|dir| self.read(dir, name) == value)
        };
        let plain = self.read(scheme, "action") == "stat"
            && says("quotas", "ms", "0")
            && says("quotas", "bytes", "0")
            && says("watermarks", "metric", "none")
            && ["filters", "core_filters", "ops_filters", "dests"].map(empty) == [true; 4]
            && empty("quotas/goals");
        match plain {
            true => Known::Yes,
            false => Known::Unknown,
        }
    }

    /// Whether a scheme can be: ranges of filters must not end before they start, and what is said about memory control groups
    /// and nodes is not known here.
    fn scheme_fits(&self, scheme: &Dir) -> Known {
        let items = |path| self.below(scheme, path).map_or(&[][..], |dir| &dir.items);
        let layers = ["core_filters", "ops_filters", "filters"];
        let filters = layers.into_iter().flat_map(items);
        let mut known = Known::Yes;
        for filter in filters {
            let ends = match self.read(filter, "type") {
                "addr" => ("addr_start", "addr_end"),
                "hugepage_size" => ("min", "max"),
                "memcg" => {
                    known = Known::Unknown;
                    continue;
                }
                _ => continue,
            };
            if self.number(filter, ends.0) > self.number(filter, ends.1)
                && !self.rules.is_broken(Rule::OrderedFilter)
            {
                return Known::No;
            }
        }
        let unknown = |goal: &Dir| {
            let metric = self.read(goal, "target_metric");
            self.read(goal, "target_value") != "0"
                && (metric.starts_with("node_memcg") || metric == "node_eligible_mem_bp")
        };
        if items("quotas/goals").iter().any(unknown) {
            known = Known::Unknown;
        }
        known
    }

    /// Whether a kdamond with these parameters would take much of the machine.
    pub fn is_expensive(&self, context: &Dir) -> bool {
        let part = |path, name| {
            let dir = self.below(context, path);
            dir.map_or(0, |dir| self.number(dir, name))
        };
        part("monitoring_attrs/intervals", "sample_us") < 2_000
            || part("monitoring_attrs/intervals", "aggr_us") < 2_000
            || part("monitoring_attrs/intervals", "update_us") < 2_000
            || part("monitoring_attrs/nr_regions", "min") > 100
            || part("monitoring_attrs/nr_regions", "max") > 1_000
    }

    /// Takes note of a command that was carried out, or not.
    pub fn commanded(&mut self, number: usize, command: Command, result: Result<(), i32>) {
        let snapshot = self.context(number).map(|context| self.snapshot(context));
        let refreshing = self.is_refreshing(number);
        let broken = self.rules.is_broken(Rule::OnRuns);
        let kdamond = &mut self.kdamonds[number];
        match (command, result) {
            (Command::On, Ok(())) => {
                let ended = std::mem::replace(kdamond, snapshot.unwrap_or_default());
                if ended.publishing {
                    // Its last may have come to the files before they were read.
                    kdamond.inherit(&ended);
                }
                kdamond.started = true;
                // Nor need what it has written have been seen.
                kdamond.publishing = refreshing || ended.publishing;
                kdamond.run = if broken { Run::Off } else { Run::On };
            }
            (Command::On, Err(error)) if error != EBUSY && snapshot.is_some() => {
                kdamond.started = false;
                kdamond.run = Run::Off;
            }
            (Command::Commit, Ok(())) => {
                let Some(mut new) = snapshot else { return };
                if kdamond.publishing {
                    // What was written to the files may have been overwritten, or not have been taken over.
                    new.inherit(kdamond);
                }
                kdamond.intervals = new.intervals;
                (kdamond.paused, kdamond.schemes) = (new.paused, new.schemes);
                kdamond.targets = new.targets;
            }
            (Command::Off, Ok(()) | Err(EPERM)) => kdamond.run = Run::Off,
            (Command::TriedBytes | Command::TriedRegions, result) => {
                kdamond.walk_left = result == Err(EINTR);
            }
            _ => (),
        }
        self.mark_ending();
    }

    /// What a kdamond has if it takes over the parameters of a context.
    fn snapshot(&self, context: &Dir) -> Kdamond {
        let number = |name| {
            let dir = self.below(context, "monitoring_attrs/intervals");
            dir.map_or(0, |dir| self.number(dir, name))
        };
        let goal = self.below(context, "monitoring_attrs/intervals/intervals_goal");
        let tuned = goal.is_some_and(|goal| self.read(goal, "aggrs") != "0");
        let items = |path| self.below(context, path).map_or(&[][..], |dir| &dir.items);
        let kept = items("targets")
            .iter()
            .filter(|target| self.read(target, "obsolete_target") == "N");
        let marked = |scheme: &Dir| {
            let marks = self.below(scheme, "watermarks");
            marks.is_some_and(|marks| self.read(marks, "metric") != "none")
        };
        let pids = kept.map(|target| self.number(target, "pid_target"));
        Kdamond {
            intervals: (!tuned).then(|| [vec![number("sample_us")], vec![number("aggr_us")]]),
            paused: Some(self.read(context, "pause") == "Y"),
            // Those with watermarks may rest, and all of them together are as good as none.
            schemes: (!items("schemes").iter().any(marked)).then(|| items("schemes").len()),
            targets: match self.read(context, "operations") {
                // Physical memory does not end.
                "paddr" => Some(vec![1]),
                _ => Some(pids.map(|pid| i64::try_from(pid).unwrap_or(-1)).collect()),
            },
            ..Kdamond::default()
        }
    }

    /// Whether a kdamond is to write results to files by itself.
    pub fn is_refreshing(&self, number: usize) -> bool {
        let top = self.below(&self.root, "kdamonds");
        let dir = top.and_then(|top| top.items.get(number));
        dir.is_some_and(|dir| self.number(dir, "refresh_ms") != 0)
    }

    /// Takes note that kdamonds whose targets have ended may end.
    pub fn mark_ending(&mut self) {
        let live = &self.processes.live;
        for kdamond in &mut self.kdamonds {
            let lives = |pids: &Vec<i64>| pids.iter().any(|pid| live.contains(pid));
            if kdamond.run == Run::On && !kdamond.targets.as_ref().is_some_and(lives) {
                kdamond.run = Run::Ending;
            }
        }
    }
}

impl crate::model::Processes {
    /// Whether there is no process with this number.
    pub fn is_dead(&self, pid: i64) -> bool {
        // The kernel has no larger ones.
        pid <= 0 || pid > 4 << 20 || self.dead.contains(&pid)
    }
}
