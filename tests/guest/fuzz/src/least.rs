// SPDX-License-Identifier: GPL-2.0

//! What a run counts, by kind, and how much of each kind it must have done: a run that has done
//! nothing cannot fail.

/// A kind of thing that is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Steps.
    Steps,
    /// Reads of files.
    Reads,
    /// Writes that were taken.
    WritesTaken,
    /// Writes that were refused.
    WritesRefused,
    /// Kinds of files that were read, written and refused something.
    KindsRead,
    /// See [`Self::KindsRead`].
    KindsWritten,
    /// See [`Self::KindsRead`].
    KindsRefused,
    /// Changes of a number of directories.
    Directories,
    /// `on` that was taken.
    Ons,
    /// `off` that was taken.
    Offs,
    /// `commit` that was taken.
    Commits,
    /// Updates of tried regions or bytes that were done.
    Walks,
    /// All other commands that were taken.
    OtherCommands,
    /// Kdamonds that have ended by themselves.
    Ends,
    /// Targets that were killed.
    Kills,
    /// Files that were opened and kept open.
    OpensKept,
    /// Reads and writes of an open file whose directory is gone.
    GoneFiles,
    /// Tries of what cannot be done.
    Impossible,
    /// Comparisons of the whole tree with the model.
    WholeTrees,
    /// Broken rules that were refuted.
    RulesRefuted,
    /// Those that were refuted in the same step again.
    RulesAgain,
}

impl Kind {
    /// Whether it is counted by a self-test, and not by the steps before.
    fn is_of_self_test(self) -> bool {
        matches!(self, Self::RulesRefuted | Self::RulesAgain)
    }

    /// Whether it is told in other words.
    fn is_apart(self) -> bool {
        self.is_of_self_test()
            || matches!(
                self,
                Self::Steps | Self::KindsRead | Self::KindsWritten | Self::KindsRefused
            )
    }
}

/// Each kind, its name, and how many there must be if nothing else is asked for.
const KINDS: [(Kind, &str, u64); 21] = [
    (Kind::Steps, "steps", 1),
    (Kind::Reads, "reads", 1),
    (Kind::WritesTaken, "writes-taken", 1),
    (Kind::WritesRefused, "writes-refused", 1),
    // As many as there are, see `main`.
    (Kind::KindsRead, "kinds-read", 1),
    (Kind::KindsWritten, "kinds-written", 1),
    (Kind::KindsRefused, "kinds-refused", 1),
    (Kind::Directories, "changed-directories", 1),
    (Kind::Ons, "ons", 1),
    (Kind::Offs, "offs", 1),
    (Kind::Commits, "commits", 1),
    (Kind::Walks, "walks", 1),
    (Kind::OtherCommands, "other-commands", 1),
    (Kind::Ends, "ends", 1),
    (Kind::Kills, "kills", 1),
    (Kind::OpensKept, "opens-kept", 1),
    (Kind::GoneFiles, "uses-of-gone-files", 1),
    (Kind::Impossible, "impossible-tries", 1),
    (Kind::WholeTrees, "whole-tree-checks", 1),
    // Of a self-test only.
    (Kind::RulesRefuted, "rules-refuted", 0),
    (Kind::RulesAgain, "rules-again", 0),
];

/// How much was done of each kind.
#[derive(Clone, Default, Debug)]
pub struct Counts([u64; KINDS.len()]);

impl Counts {
    /// Adds one.
    pub fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// Sets the number of those that are counted elsewhere.
    pub fn set(&mut self, kind: Kind, count: u64) {
        self.0[kind as usize] = count;
    }

    /// The number of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// What was done in the steps, in words, but for the kinds of files.
    pub fn text(&self) -> String {
        let told = KINDS.iter().filter(|(kind, _, _)| !kind.is_apart());
        let words =
            told.map(|(kind, name, _)| format!("{} {}", self.of(*kind), name.replace('-', " ")));
        words.collect::<Vec<_>>().join(", ")
    }

    /// The line that a script reads: `did: steps=1000 reads=93 …`.
    pub fn line(&self) -> String {
        let counts = KINDS.map(|(kind, name, _)| format!(" {name}={}", self.of(kind)));
        format!("did:{}", counts.concat())
    }
}

/// How much there must be of each kind.
#[derive(Clone, Debug)]
pub struct Least {
    numbers: [u64; KINDS.len()],
    asked: [bool; KINDS.len()],
}

impl Default for Least {
    fn default() -> Self {
        Self {
            numbers: KINDS.map(|(_, _, least)| least),
            asked: [false; KINDS.len()],
        }
    }
}

impl Least {
    /// Takes over what `KIND=N[,KIND=N…]` asks for.
    pub fn ask(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            let (name, number) = part
                .split_once('=')
                .ok_or_else(|| format!("\"{part}\" is not KIND=N"))?;
            let Some((kind, _, _)) = KINDS.iter().find(|(_, its, _)| *its == name) else {
                let known = KINDS.map(|(_, name, _)| name).join(", ");
                return Err(format!("no such kind: {name}; there are {known}"));
            };
            let number = number
                .parse()
                .map_err(|_| format!("{name}: {number} is no number"))?;
            self.numbers[*kind as usize] = number;
            self.asked[*kind as usize] = true;
        }
        Ok(())
    }

    /// As many of a kind as there can be, where [`Self::ask`] did not ask for another number.
    pub fn unless_asked(&mut self, kind: Kind, number: u64) {
        if !self.asked[kind as usize] {
            self.numbers[kind as usize] = number;
        }
    }

    fn is_met(&self, kind: Kind, counts: &Counts) -> bool {
        counts.of(kind) >= self.numbers[kind as usize]
    }

    /// Whether the steps have done enough; what only a self-test counts is left out.
    pub fn is_met_by_steps(&self, counts: &Counts) -> bool {
        let mut kinds = KINDS.iter().map(|(kind, _, _)| *kind);
        kinds.all(|kind| kind.is_of_self_test() || self.is_met(kind, counts))
    }

    /// The kinds of which there are too few, in words: `commits 3 of at least 20`.
    pub fn missing(&self, counts: &Counts) -> Vec<String> {
        let few = KINDS
            .iter()
            .filter(|(kind, _, _)| !self.is_met(*kind, counts));
        let told = few.map(|(kind, name, _)| {
            let least = self.numbers[*kind as usize];
            format!("{name} {} of at least {least}", counts.of(*kind))
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_place() {
        let places = KINDS.map(|(kind, _, _)| kind as usize);
        assert_eq!(places, core::array::from_fn(|place| place));
        let mut names = KINDS.map(|(_, name, _)| name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn what_is_not_asked_for_keeps_its_minimum() {
        let mut least = Least::default();
        least.ask("commits=20,walks=0").unwrap();
        let mut counts = Counts::default();
        for (kind, _, _) in KINDS {
            counts.set(kind, 1);
        }
        counts.set(Kind::Walks, 0);
        assert_eq!(least.missing(&counts), ["commits 1 of at least 20"]);
        counts.set(Kind::Commits, 20);
        counts.set(Kind::Ons, 0);
        assert_eq!(least.missing(&counts), ["ons 0 of at least 1"]);
    }

    #[test]
    fn what_is_asked_for_comes_before_all_there_can_be() {
        let mut least = Least::default();
        least.ask("kinds-read=3").unwrap();
        least.unless_asked(Kind::KindsRead, 104);
        least.unless_asked(Kind::KindsWritten, 93);
        let mut counts = Counts::default();
        counts.set(Kind::KindsRead, 3);
        let missing = least.missing(&counts);
        assert!(missing.iter().all(|text| !text.starts_with("kinds-read")));
        assert!(missing.contains(&"kinds-written 0 of at least 93".to_owned()));
    }

    #[test]
    fn a_run_that_has_done_nothing_misses_all_but_the_rules() {
        let missing = Least::default().missing(&Counts::default());
        assert_eq!(missing.len(), KINDS.len() - 2);
        assert!(missing.iter().all(|text| !text.starts_with("rules")));
    }

    #[test]
    fn steps_need_not_refute_rules() {
        let mut least = Least::default();
        least.ask("rules-refuted=15").unwrap();
        let mut counts = Counts::default();
        assert!(!least.is_met_by_steps(&counts));
        for (kind, _, _) in KINDS.iter().filter(|(kind, _, _)| !kind.is_of_self_test()) {
            counts.set(*kind, 1);
        }
        assert!(least.is_met_by_steps(&counts));
        assert_eq!(least.missing(&counts), ["rules-refuted 0 of at least 15"]);
    }

    #[test]
    fn what_is_no_minimum_is_refused() {
        for text in [
            "",
            "commits",
            "commits=",
            "commits=-1",
            "commits=x",
            "commit=1",
            "commits=1,",
            "=1",
        ] {
            let mut least = Least::default();
            assert!(least.ask(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_line_has_each_kind() {
        let mut counts = Counts::default();
        counts.add(Kind::Steps);
        counts.add(Kind::Steps);
        let line = counts.line();
        assert!(line.starts_with("did: steps=2 reads=0 "));
        assert_eq!(line.split(' ').skip(1).count(), KINDS.len());
        assert!(line.ends_with(" rules-again=0"));
        assert!(counts.text().starts_with("0 reads, 0 writes taken, "));
    }
}
