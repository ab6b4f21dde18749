// SPDX-License-Identifier: GPL-2.0

//! Kinds of files: which texts a file takes, what it reads afterwards, and how it refuses the others.
//!
//! Which files there are is read from the tree. What they mean is known by name, see [`classify`];
//! a file that is not known is treated by what it reads at first.

use crate::{
    rules::{
        Rule,
        Rules, //
    },
    text::{
        self,
        Bad, //
    },
};
use nix::libc::{
    EINVAL,
    ENOMEM,
    ERANGE, //
};

/// What a write can carry, and a read return a byte less of.
pub const PAGE: usize = 4096;

/// From here on there is no memory for so many directories.
const TOO_MANY: u64 = (4 << 20) / 8 + 1;

/// The size of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bits {
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
}

/// A kind of file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Class {
    /// The number of numbered directories, at most `most`.
    Count {
        /// Limit of the file.
        most: u64,
    },
    /// `state`.
    State,
    /// A number.
    Number {
        /// Its size.
        bits: Bits,
        /// The least that is taken, of unsigned ones.
        least: u64,
        /// Whether all bad texts are `EINVAL`.
        one_error: bool,
        /// Whether a kdamond may write it, too.
        tuned: bool,
    },
    /// `Y` or `N`.
    Switch,
    /// One of some words.
    Words(&'static [&'static str]),
    /// Text as it is.
    Text,
    /// It can be written, and nothing else is known.
    Unknown,
    /// For reading: always the same.
    Constant,
    /// For reading: the kdamond's number.
    Thread,
    /// For reading: a number that the kdamond reports.
    Report,
    /// For reading: a number that a walk of the regions leaves.
    Walked,
}

/// Words that `state` takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Starts the kdamond.
    On,
    /// Stops it.
    Off,
    /// Hands over the parameters.
    Commit,
    /// Hands over the quota goals.
    CommitGoals,
    /// Updates `stats/`.
    Stats,
    /// Updates `quotas/effective_bytes`.
    Quotas,
    /// Updates `intervals/`.
    Intervals,
    /// Updates `tried_regions/total_bytes`.
    TriedBytes,
    /// Updates `tried_regions/`.
    TriedRegions,
    /// Empties `tried_regions/`.
    ClearTried,
}

/// The words of `state`.
pub const COMMANDS: [(&str, Command); 10] = [
    ("on", Command::On),
    ("off", Command::Off),
    ("commit", Command::Commit),
    ("commit_schemes_quota_goals", Command::CommitGoals),
    ("update_schemes_stats", Command::Stats),
    ("update_schemes_effective_quotas", Command::Quotas),
    ("update_tuned_intervals", Command::Intervals),
    ("update_schemes_tried_bytes", Command::TriedBytes),
    ("update_schemes_tried_regions", Command::TriedRegions),
    ("clear_schemes_tried_regions", Command::ClearTried),
];

const OPERATIONS: &[&str] = &["vaddr", "fvaddr", "paddr"];
const ACTIONS: &[&str] = &[
    "willneed",
    "cold",
    "pageout",
    "hugepage",
    "nohugepage",
    "collapse",
    "lru_prio",
    "lru_deprio",
    "migrate_hot",
    "migrate_cold",
    "stat",
];
const TUNERS: &[&str] = &["consist", "temporal"];
const METRICS: &[&str] = &[
    "user_input",
    "some_mem_psi_us",
    "node_mem_used_bp",
    "node_mem_free_bp",
    "node_memcg_used_bp",
    "node_memcg_free_bp",
    "active_mem_bp",
    "inactive_mem_bp",
    "node_eligible_mem_bp",
];
const WATERMARKS: &[&str] = &["none", "free_mem_rate"];
const CORE_FILTERS: &[&str] = &["addr", "target"];
const OPS_FILTERS: &[&str] = &[
    "anon",
    "active",
    "memcg",
    "young",
    "hugepage_size",
    "unmapped",
];
const FILTERS: &[&str] = &[
    "anon",
    "active",
    "memcg",
    "young",
    "hugepage_size",
    "unmapped",
    "addr",
    "target",
];
const PROBE_FILTERS: &[&str] = &["anon", "memcg"];

/// All words of all files, and some that are none.
pub const VOCABULARY: &[&[&str]] = &[
    OPERATIONS,
    ACTIONS,
    TUNERS,
    METRICS,
    WATERMARKS,
    FILTERS,
    &[
        "Y", "N", "y", "n", "1", "0", "on", "off", "On", "oFF", "true", "false", "enable",
        "disable", "STAT", "vaddr ", " vaddr", "vaddrx", "vadd",
    ],
];

/// Tells what a file is, from where it is (`kdamonds/N/contexts` …, N for any number), its name,
/// whether it makes directories, can be written, and what it reads in a new directory.
pub fn classify(dir: &str, name: &str, makes: bool, writable: bool, first: &[u8]) -> Class {
    if makes {
        let most = match name {
            "nr_contexts" => 1,
            "nr_probes" => 4,
            _ => u64::MAX,
        };
        return Class::Count { most };
    }
    if !writable {
        return match name {
            "pid" => Class::Thread,
            "total_bytes" => Class::Walked,
            "avail_operations" => Class::Constant,
            _ => Class::Report,
        };
    }
    let parent = dir
        .rsplit('/')
        .find(|part| *part != "N")
        .unwrap_or_default();
    match (parent, name) {
        (_, "state") => Class::State,
        (_, "operations") => Class::Words(OPERATIONS),
        (_, "action") => Class::Words(ACTIONS),
        (_, "goal_tuner") => Class::Words(TUNERS),
        (_, "target_metric") => Class::Words(METRICS),
        (_, "metric") => Class::Words(WATERMARKS),
        ("core_filters", "type") => Class::Words(CORE_FILTERS),
        ("ops_filters", "type") => Class::Words(OPS_FILTERS),
        (_, "type") if dir.contains("/probes/") => Class::Words(PROBE_FILTERS),
        (_, "type") => Class::Words(FILTERS),
        (_, "memcg_path" | "path") => Class::Text,
        (_, "pause" | "obsolete_target" | "matching" | "allow") => Class::Switch,
        _ => number(parent, name, first),
    }
}

fn number(parent: &str, name: &str, first: &[u8]) -> Class {
    let bits = match name {
        "target_nid" | "nid" | "damon_target_idx" | "pid_target" => Bits::I32,
        "refresh_ms" | "id" | "weight" => Bits::U32,
        _ if name.ends_with("_permil") || name.starts_with("fail_charge_") => Bits::U32,
        _ => Bits::U64,
    };
    let all_einval = ["ms", "bytes", "reset_interval_ms"].contains(&name) && parent == "quotas";
    match first {
        b"Y\n" | b"N\n" => Class::Switch,
        _ if is_number(first) => Class::Number {
            bits,
            least: u64::from(name == "addr_unit"),
            one_error: all_einval || name == "pid_target" || name.starts_with("fail_charge_"),
            tuned: parent == "intervals" && ["sample_us", "aggr_us"].contains(&name),
        },
        _ => Class::Unknown,
    }
}

/// Whether a file reads a number, as a file does.
pub fn is_number(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let number = text.strip_suffix('\n').and_then(|n| n.parse::<i128>().ok());
    number.is_some_and(|number| format!("{number}\n") == text)
}

/// What a write does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// The file reads this.
    Reads(Vec<u8>),
    /// So many directories are made.
    Makes(usize),
    /// A command is carried out.
    Does(Command),
    /// It is not known whether the text is good.
    Unknown,
}

impl Class {
    /// What a write of `text` does if it is taken, or the errno with which it is refused.
    pub fn judge(&self, text: &[u8], rules: &Rules) -> Result<Effect, i32> {
        if text.is_empty() {
            return Ok(Effect::None);
        }
        let text = text::c_string(&text[..text.len().min(PAGE)], rules);
        match self {
            Self::Count { most } => count(text, *most, rules),
            Self::State => {
                let found = COMMANDS.iter().find(|(word, _)| text::is_word(text, word));
                found
                    .map(|(_, command)| Effect::Does(*command))
                    .ok_or(EINVAL)
            }
            Self::Number {
                bits,
                least,
                one_error,
                ..
            } => judge_number(text, *bits, *least, rules).map_err(|bad| match bad {
                Bad::Range if !one_error && !rules.is_broken(Rule::RangeError) => ERANGE,
                _ => EINVAL,
            }),
            Self::Switch => match text::boolean(text) {
                Some(true) => Ok(Effect::Reads(b"Y\n".to_vec())),
                Some(false) => Ok(Effect::Reads(b"N\n".to_vec())),
                None => Err(EINVAL),
            },
            Self::Words(words) => {
                let words = match *words {
                    OPS_FILTERS if rules.is_broken(Rule::LayerOfFilter) => FILTERS,
                    words => words,
                };
                let found = words.iter().find(|word| text::is_word(text, word));
                let word = found.ok_or(EINVAL)?;
                Ok(Effect::Reads(format!("{word}\n").into_bytes()))
            }
            Self::Text => {
                let mut content = [text, b"\n"].concat();
                if !rules.is_broken(Rule::TextCutOff) {
                    content.truncate(PAGE - 1);
                }
                Ok(Effect::Reads(content))
            }
            _ => Ok(Effect::Unknown),
        }
    }
}

fn count(text: &[u8], most: u64, rules: &Rules) -> Result<Effect, i32> {
    let number = text::signed(text, rules).map_err(|bad| match bad {
        Bad::Form => EINVAL,
        Bad::Range => ERANGE,
    })?;
    let number = i32::try_from(number).map_err(|_| ERANGE)?;
    let number = u64::try_from(number).map_err(|_| EINVAL)?;
    match number {
        _ if number > most => Err(EINVAL),
        TOO_MANY.. => Err(ENOMEM),
        _ => Ok(Effect::Makes(usize::try_from(number).map_err(|_| EINVAL)?)),
    }
}

fn judge_number(text: &[u8], bits: Bits, least: u64, rules: &Rules) -> Result<Effect, Bad> {
    let number = match bits {
        Bits::I32 => i128::from(text::signed(text, rules)?),
        _ => i128::from(text::unsigned(text, rules)?),
    };
    let fits = match bits {
        Bits::U64 => true,
        Bits::U32 => u32::try_from(number).is_ok() || rules.is_broken(Rule::Narrow),
        Bits::I32 => i32::try_from(number).is_ok() || rules.is_broken(Rule::Narrow),
    };
    if !fits {
        return Err(Bad::Range);
    }
    if number < i128::from(least) && bits != Bits::I32 {
        return Err(Bad::Form);
    }
    Ok(Effect::Reads(format!("{number}\n").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { broken: None };

    #[test]
    fn counts() {
        let most = Class::Count { most: 4 };
        assert_eq!(most.judge(b"4\n", &RULES), Ok(Effect::Makes(4)));
        assert_eq!(most.judge(b"5\n", &RULES), Err(EINVAL));
        let any = Class::Count { most: u64::MAX };
        assert_eq!(any.judge(b"-1", &RULES), Err(EINVAL));
        assert_eq!(any.judge(b"2147483648", &RULES), Err(ERANGE));
        assert_eq!(any.judge(b"2147483647", &RULES), Err(ENOMEM));
        assert_eq!(any.judge(b"", &RULES), Ok(Effect::None));
    }

    #[test]
    fn values() {
        let pid = classify(
            "kdamonds/N/contexts/N/targets/N",
            "pid_target",
            false,
            true,
            b"0\n",
        );
        assert_eq!(pid.judge(b"4294967296", &RULES), Err(EINVAL));
        assert_eq!(
            pid.judge(b"-5\n", &RULES),
            Ok(Effect::Reads(b"-5\n".to_vec()))
        );
        let unit = classify("kdamonds/N/contexts/N", "addr_unit", false, true, b"1\n");
        assert_eq!(unit.judge(b"0", &RULES), Err(EINVAL));
        let path = classify("x/filters/N", "memcg_path", false, true, b"\n");
        assert_eq!(
            path.judge(b"a\n\0b", &RULES),
            Ok(Effect::Reads(b"a\n\n".to_vec()))
        );
        let ops = classify("x/schemes/N/ops_filters/N", "type", false, true, b"anon\n");
        assert_eq!(ops.judge(b"addr", &RULES), Err(EINVAL));
        assert!(is_number(b"-1\n") && !is_number(b"01\n") && !is_number(b"1"));
    }
}
