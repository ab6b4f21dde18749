// SPDX-License-Identifier: GPL-2.0

//! The kdamond: the thread that owns a monitoring context, and the ways to ask it for something.
//!
//! This layer brings the algorithms ([`crate::engine`]) and the address spaces ([`crate::ops`])
//! together, and owns the clock ([`run`]). A context is moved into its thread at start; from then
//! on it is reached by requests only ([`mailbox`]).
//!
//! Every function that waits for a kdamond is to be called without any lock that a store to a
//! file of the sysfs tree may need.
//!
//! Code under `cfg!(model_mistake = "…")` is never part of the module. It marks mistakes that the
//! model checker has to find, see Documentation/mm/damon/requests.rst.

mod handle;
mod machine;
mod mailbox;
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
pub(crate) use params::fitting;
pub use params::{
    Context,
    Params,
    ANY_PAGES, //
};
pub use registry::Registry;
pub(crate) use reply::ecanceled;
pub use requests::Requests;
pub(crate) use thread::{
    bell::now,
    global::Shared, //
};

use kernel::{
    error::Result,
    sync::Arc, //
};

/// A new kdamond that does not run, for another module. It is shown beside those of the sysfs tree
/// in the status file.
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
/// // The thread owns the context. What is wanted of it is asked for.
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
