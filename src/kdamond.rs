// SPDX-License-Identifier: GPL-2.0

//! The kdamond: the kernel thread that owns a monitoring context, and the requests to it.
//!
//! This layer combines the core layer ([`crate::engine`]) with the address spaces ([`crate::ops`])
//! and owns the clock ([`run`]). A context is moved into its thread when a kdamond is started. From
//! then on it is only reached by requests ([`mailbox`]).
//!
//! A function that waits for a kdamond must be called without any lock that a store to a file of
//! the sysfs tree may take.
//!
//! Code under `cfg!(model_mistake = "…")` is never part of the module. It marks faults that the
//! model checker must find, see Documentation/mm/damon/requests.rst.

mod handle;
mod mailbox;
mod metrics;
mod moment;
mod params;
mod queue;
mod registry;
mod reply;
mod requests;
mod run;
mod sync;
mod thread;
mod walk;

pub use handle::Kdamond;
pub use moment::Moment;
pub(crate) use params::validated;
pub use params::{
    Context,
    Params,
    ANY_PAGES, //
};
pub use registry::Registry;
pub use requests::Requests;
pub(crate) use thread::{
    global::Shared,
    wakeup::now, //
};

use kernel::{
    error::Result,
    sync::Arc, //
};

/// Creates a kdamond for another module. It does not run yet. It is listed in the status file along
/// with those of the sysfs tree. May sleep.
///
/// Fails with `ENOMEM`, and with `ENODEV` while this module is being loaded or unloaded.
///
/// ```
/// # use damon::{
/// #     engine::AttrsParams,
/// #     kdamond::{self, Params},
/// #     ops::OpsId,
/// # };
/// let kdamond = kdamond::new()?;
/// kdamond.start(Params::new(OpsId::Paddr, AttrsParams::default())?.system_ram()?)?;
///
/// // The thread owns the context, which is only reached by calls.
/// kdamond.call(|context| context.set_paused(true))?;
/// assert!(kdamond.call(|context| context.paused())?);
///
/// kdamond.stop()?;
/// assert!(kdamond.call(|_| ()).is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn new() -> Result<Arc<Kdamond>> {
    Kdamond::new(&thread::global::registry()?)
}
