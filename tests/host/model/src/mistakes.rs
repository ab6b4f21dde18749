// SPDX-License-Identifier: GPL-2.0

//! The mistakes that are marked in the kdamond's files, each of which a scenario must refute.
//!
//! In the module `cfg!(model_mistake = "…")` is false. The [`cfg!`] of this crate takes its place,
//! and is true if the process was told to make that mistake. So all variants are one program.

use super::tests::MISTAKES;
use std::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};

/// Those that are made, a bit for each of [`MISTAKES`].
static MADE: AtomicU64 = AtomicU64::new(0);

/// Those of them that the program has come to.
static REACHED: AtomicU64 = AtomicU64::new(0);

/// The built-in macro of this name, for one predicate, which is decided when the program runs.
///
/// A mistake that no test makes does not compile.
macro_rules! cfg {
    (model_mistake = $name:literal) => {{
        const BIT: u64 = $crate::mistakes::bit($name);
        $crate::mistakes::is_made(BIT)
    }};
}

/// The bit of a mistake.
pub(crate) const fn bit(name: &str) -> u64 {
    let mut at = 0;
    while at < MISTAKES.len() {
        if is_same(MISTAKES[at].as_bytes(), name.as_bytes()) {
            return 1 << at;
        }
        at += 1;
    }
    panic!("a mistake that no test makes")
}

/// `==`, which cannot be called in a constant.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Whether a mistake is made.
pub(crate) fn is_made(bit: u64) -> bool {
    let made = MADE.load(Relaxed) & bit != 0;
    if made {
        REACHED.fetch_or(bit, Relaxed);
    }
    made
}

/// Makes these mistakes from now on.
pub(crate) fn make(names: &[&str]) {
    let bits = names.iter().map(|name| bit(name)).sum();
    MADE.store(bits, Relaxed);
}

/// Whether the program has come to a place of each mistake that is made.
pub(crate) fn all_reached() -> bool {
    REACHED.load(Relaxed) == MADE.load(Relaxed)
}
