// SPDX-License-Identifier: GPL-2.0

//! Quotas: how much memory a scheme may be applied to in a quota reset interval, and which memory
//! has priority.

mod goals;
pub(super) mod priority;
mod state;

pub use state::QuotaState;

pub(crate) use goals::GoalState;
pub(crate) use priority::score;
pub(crate) use state::Resume;

use super::attrs::Micros;
use core::ffi::CStr;
use kernel::prelude::*;

/// The metric of a goal (C: `enum damos_quota_goal_metric`). Nodes are named by ID, and memory
/// cgroups by memcg ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoalMetric {
    /// The current value, as provided by the user.
    UserInput(u64),
    /// Time in which at least one task was stalled on memory since the last measurement, in
    /// microseconds.
    SomeMemPsiUs,
    /// Used memory of a node, in basis points of its total memory.
    NodeMemUsedBp(i32),
    /// Free memory of a node, in basis points of its total memory.
    NodeMemFreeBp(i32),
    /// Memory of a node that a memory cgroup uses, in basis points of the node's total memory.
    NodeMemcgUsedBp(i32, u64),
    /// Memory of a node that a memory cgroup does not use, in basis points of the node's total
    /// memory.
    NodeMemcgFreeBp(i32, u64),
    /// Memory on active LRU lists, in basis points of the memory on all LRU lists.
    ActiveMemBp,
    /// Memory on inactive LRU lists, in basis points of the memory on all LRU lists.
    InactiveMemBp,
    /// Part of the memory matching the scheme's access pattern that is on a node, in basis points.
    NodeEligibleMemBp(i32),
}

impl GoalMetric {
    /// Returns the keyword of the metric in the sysfs files.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::UserInput(_) => c"user_input",
            Self::SomeMemPsiUs => c"some_mem_psi_us",
            Self::NodeMemUsedBp(_) => c"node_mem_used_bp",
            Self::NodeMemFreeBp(_) => c"node_mem_free_bp",
            Self::NodeMemcgUsedBp(..) => c"node_memcg_used_bp",
            Self::NodeMemcgFreeBp(..) => c"node_memcg_free_bp",
            Self::ActiveMemBp => c"active_mem_bp",
            Self::InactiveMemBp => c"inactive_mem_bp",
            Self::NodeEligibleMemBp(_) => c"node_eligible_mem_bp",
        }
    }
}

/// A goal for the automatic tuning of the quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The metric. Tuning assumes that it grows with the quota.
    pub metric: GoalMetric,
    /// The value to be reached. Not zero.
    pub target_value: u64,
}

/// The algorithm that tunes the quota to the goals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tuner {
    /// Finds the quota that keeps the goals reached.
    #[default]
    Consist,
    /// Allows as much as the other limits until the goals are reached, and nothing afterwards.
    Temporal,
}

impl Tuner {
    /// Returns the keyword of the tuner in the sysfs files.
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::Consist => c"consist",
            Self::Temporal => c"temporal",
        }
    }
}

/// The charge for memory that an action failed on, as a fraction of its size. If `denom` is zero,
/// the whole size is charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailCharge {
    /// Numerator of the fraction.
    pub num: u32,
    /// Denominator of the fraction.
    pub denom: u32,
}

/// Weights of size, access rate and age in a region's priority score.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weights {
    /// Weight of the size. Not used, as in the C DAMON.
    pub sz: u32,
    /// Weight of the access rate.
    pub nr_accesses: u32,
    /// Weight of the age.
    pub age: u32,
}

/// The parameters of a quota.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct QuotaParams {
    /// Time that the action may take in a quota reset interval, in milliseconds. Zero means no
    /// limit.
    pub ms: u64,
    /// Size of the memory that the action may be tried on in a quota reset interval, in the unit of
    /// addresses. Zero means no limit.
    pub bytes: u64,
    /// The quota reset interval.
    pub reset_interval: Micros,
    /// The goals. If there are any, they yield one more limit.
    pub goals: KVec<Goal>,
    /// The algorithm that tunes the quota to the goals.
    pub tuner: Tuner,
    /// The charge for memory that the action failed on.
    pub fail_charge: FailCharge,
    /// The weights for the prioritization of regions.
    pub weights: Weights,
}

impl GoalMetric {
    /// Returns whether the metric needs
    /// [`Operations::eligible`](super::operations::Operations::eligible).
    pub(crate) fn needs_nodes(self) -> bool {
        matches!(self, Self::NodeEligibleMemBp(_))
    }
}

impl QuotaParams {
    /// Returns whether a goal needs
    /// [`Operations::eligible`](super::operations::Operations::eligible).
    pub(crate) fn needs_nodes(&self) -> bool {
        self.goals.iter().any(|goal| goal.metric.needs_nodes())
    }

    /// Returns whether there is any limit. Corresponds to `damos_quota_is_set()`.
    pub fn is_set(&self) -> bool {
        self.ms != 0 || self.bytes != 0 || !self.goals.is_empty()
    }
}
