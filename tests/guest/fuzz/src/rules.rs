// SPDX-License-Identifier: GPL-2.0

//! Rules of the model that can be broken on purpose, to see that the fuzzer notices.

/// A rule of the model. What is broken is written behind each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// A leading 0 means base 8; broken: 10.
    OctalPrefix,
    /// Text ends at the first NUL; broken: it goes on.
    NulEnds,
    /// A number beyond the limits of its file is refused with `ERANGE`; broken: `EINVAL`.
    RangeError,
    /// A 32-bit file refuses what needs more bits; broken: it takes it.
    Narrow,
    /// A refused write leaves the old value; broken: the new one is there.
    OldValueStays,
    /// An `nr_…` file makes as many directories; broken: one more.
    AsManyDirectories,
    /// A new directory has the first values; broken: it keeps those of the one before.
    FreshValues,
    /// A filter takes only the types that its layer can decide; broken: all.
    LayerOfFilter,
    /// Text is cut off at a page; broken: it is not.
    TextCutOff,
    /// A file that is open while its directory goes answers `ENODEV`; broken: `ENOENT`.
    OpenFileOfRemoved,
    /// A kdamond runs after `on`; broken: it does not.
    OnRuns,
    /// A second `off` is refused with `EPERM`; broken: `EINVAL`.
    OffTwice,
    /// While a kdamond runs, `nr_kdamonds` is refused; broken: it is not.
    BusyKdamonds,
    /// Walks of a paused context are cancelled; broken: they are done.
    PausedWalks,
    /// A scheme with a filter whose range ends before it starts is refused; broken: it is taken.
    OrderedFilter,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::OctalPrefix,
        Self::NulEnds,
        Self::RangeError,
        Self::Narrow,
        Self::OldValueStays,
        Self::AsManyDirectories,
        Self::FreshValues,
        Self::LayerOfFilter,
        Self::TextCutOff,
        Self::OpenFileOfRemoved,
        Self::OnRuns,
        Self::OffTwice,
        Self::BusyKdamonds,
        Self::PausedWalks,
        Self::OrderedFilter,
    ];
}

/// The model's rules, with at most one broken.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The broken one.
    pub broken: Option<Rule>,
}

impl Rules {
    /// Whether this rule does not hold.
    pub fn is_broken(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }
}
