// SPDX-License-Identifier: GPL-2.0

//! The kdamond's files as they are in the module (mailbox, answers, loop, start and stop,
//! registry), walked through all interleavings of their threads that a bound on preemptions allows,
//! with the memory orderings of the real ones.
//!
//! - `scenarios`, `handles`: who does what, and what must hold in the end. A thread that waits for
//!   ever is found by the checker: nothing can run.
//! - `mistakes`: those that are marked in the files by `cfg!(model_mistake = "…")`. Each has to be
//!   refuted by a scenario, else the scenarios are of no use.
//! - `slot`: the C DAMON's slot for walks, with the race that was discussed on its list.

#![cfg(test)]

// What the files call `kernel` is here: the host's stand-in, but for what the checker has to see.
extern crate self as kernel;

use damon::engine;
use stand_in::{
    alloc,
    bindings,
    prelude, //
};

#[macro_use]
mod mistakes;

#[path = "../../shared/sync.rs"]
mod monitor;
mod primitives;
mod slot;
mod tests;
mod thread;
mod world;

use world as trace;

/// Nobody reads these.
macro_rules! debug {
    ($($arg:tt)*) => {
        let _ = format_args!($($arg)*);
    };
}
use debug;

#[path = "../../../../src/errno.rs"]
#[allow(dead_code)]
mod errno;

#[path = "../../../../src/panic_free.rs"]
mod panic_free;

/// The kernel series of the model.
mod series {
    pub(crate) const SPLIT_IN_PART: bool = false;

    // A start refuses what a commit would.
    pub(crate) const START_AS_COMMIT: bool = true;
}

/// What threads share.
mod sync {
    pub(crate) use crate::primitives::Arc;
}

#[path = "../../../../src"]
mod files {
    /// The files as they are.
    #[path = "kdamond"]
    pub(crate) mod kdamond {
        use crate::{
            monitor as sync,
            thread,
            world as metrics, //
        };

        /// The context of the model.
        pub(crate) mod params {
            pub(crate) use crate::world::{
                Context,
                Params, //
            };
        }

        // No scenario has one that is to be alone.
        #[allow(dead_code)]
        pub(crate) mod handle;
        #[path = "../../tests/host/model/src/handles.rs"]
        pub(crate) mod handles;
        pub(crate) mod mailbox;
        // The machine of the model has no clock.
        #[allow(dead_code)]
        pub(crate) mod moment;
        pub(crate) mod queue;
        pub(crate) mod registry;
        pub(crate) mod reply;
        pub(crate) mod requests;
        pub(crate) mod run;
        #[path = "../../tests/host/model/src/scenarios.rs"]
        pub(crate) mod scenarios;
        pub(crate) mod walk;
    }
}

use files::kdamond;
