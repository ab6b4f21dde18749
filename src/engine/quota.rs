// SPDX-License-Identifier: GPL-2.0

//! Quotas: how much a scheme may do in an interval, and what it is to do first.

mod goals;
pub(super) mod priority;
mod state;

pub use state::QuotaState;

pub(crate) use goals::GoalState;
pub(crate) use priority::score;
pub(crate) use state::Resume;

use super::attrs::Micros;
use kernel::prelude::*;

/// What a goal is measured by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoalMetric {
    /// A number that the user feeds in.
    UserInput(u64),
    /// Microseconds in which some task waited for memory, since the last look.
    SomeMemPsiUs,
    /// Memory in use of the node with this number, in basis points.
    NodeMemUsedBp(i32),
    /// Free memory of the node with this number, in basis points.
    NodeMemFreeBp(i32),
    /// Memory of a node that a control group uses, in basis points of what the node has.
    NodeMemcgUsedBp(i32, u64),
    /// Memory of a node that a control group does not use, in basis points of what the node has.
    NodeMemcgFreeBp(i32, u64),
    /// Memory on active LRU lists, in basis points.
    ActiveMemBp,
    /// Memory on inactive LRU lists, in basis points.
    InactiveMemBp,
    /// How much of the memory that the scheme's pattern matches is on the node with this number,
    /// in basis points.
    NodeEligibleMemBp(i32),
}

/// A value to be reached by doing more or less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// What is measured.
    pub metric: GoalMetric,
    /// The value to be reached; not zero.
    pub target_value: u64,
}

/// How the quota follows the goals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tuner {
    /// Finds the quota with which goals stay reached.
    #[default]
    Consist,
    /// Does all that is allowed until goals are reached, and nothing then.
    Temporal,
}

/// How much of what an action failed on is charged; all of it if `denom` is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailCharge {
    /// Numerator of the share.
    pub num: u32,
    /// Denominator of the share.
    pub denom: u32,
}

/// What counts how much when regions are put in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weights {
    /// Size.
    pub sz: u32,
    /// Accesses.
    pub nr_accesses: u32,
    /// Age.
    pub age: u32,
}

/// How much a scheme may do.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct QuotaParams {
    /// Time that the action may take in an interval, in milliseconds; zero for no limit.
    pub ms: u64,
    /// Size that the action may be tried on in an interval, in the unit of addresses; zero for no
    /// limit.
    pub bytes: u64,
    /// The interval.
    pub reset_interval: Micros,
    /// What is to be reached. Without goals the quota is what the other limits say.
    pub goals: KVec<Goal>,
    /// How the quota follows the goals.
    pub tuner: Tuner,
    /// How much of a failure is charged.
    pub fail_charge: FailCharge,
    /// What is to be done first.
    pub weights: Weights,
}

impl GoalMetric {
    /// Whether only operations that know of nodes can tell.
    pub(crate) fn needs_nodes(self) -> bool {
        matches!(self, Self::NodeEligibleMemBp(_))
    }
}

impl QuotaParams {
    /// Whether there is a goal that only operations that know of nodes can tell about.
    pub(crate) fn needs_nodes(&self) -> bool {
        self.goals.iter().any(|goal| goal.metric.needs_nodes())
    }

    /// Whether there is any limit.
    pub fn is_set(&self) -> bool {
        self.ms != 0 || self.bytes != 0 || !self.goals.is_empty()
    }
}
