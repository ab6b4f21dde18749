// SPDX-License-Identifier: GPL-2.0

//! The module's files that do not need a kernel, as they are, for tests on the host.
//!
//! Each file brings its unit tests along, which run here and in the kernel. The properties tests
//! beside them have the numbers chosen by proptest, and run here only.

/// The files, by way of their folder: with the path of a file alone the compiler would look for
/// its submodules beside it.
#[path = "../../../../src"]
mod files {
    pub mod engine;

    #[cfg(test)]
    #[path = "ops"]
    pub(crate) mod ops {
        pub(crate) mod hidden;
    }

    #[cfg(test)]
    #[path = "kdamond"]
    pub(crate) mod kdamond {
        use crate::{
            monitor as sync,
            thread, //
        };

        // Who abandons a request is part of the model.
        #[allow(dead_code)]
        pub(crate) mod mailbox;
        pub(crate) mod moment;
        pub(crate) mod queue;
        #[allow(dead_code)]
        mod reply;
        pub(crate) mod run;
        // No test makes a request of a walker.
        #[allow(dead_code)]
        pub(crate) mod walk;
    }
}

#[cfg(test)]
#[path = "../../../../src/errno.rs"]
#[allow(dead_code)]
mod errno;

/// The kernel's `sort()`.
mod glue {
    pub(crate) mod sort {
        pub(crate) fn sort<T: Ord>(items: &mut [T]) {
            items.sort_unstable();
        }
    }
}

#[cfg(test)]
#[path = "../../../../src/mm/record_id.rs"]
mod mm;

#[path = "../../../../src/cast.rs"]
#[allow(dead_code)]
mod cast;

#[path = "../../../../src/panic_free.rs"]
#[allow(dead_code)]
mod panic_free;

// `crate::engine` is what the files call each other by in the kernel.
pub use files::engine;

#[cfg(test)]
use files::kdamond;

#[cfg(test)]
mod metrics;
#[cfg(test)]
#[path = "../../shared/sync.rs"]
mod monitor;
#[cfg(test)]
mod primitives;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod thread;
