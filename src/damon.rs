// SPDX-License-Identifier: GPL-2.0

//! DAMON (Data Access MONitor) as a loadable module.
//!
//! The layers, in the order in which data flows:
//!
//! - [`sysfs`]: the interface for users, directories of files that hold parameters and results.
//! - [`kdamond`]: the thread that owns a context, its schedule, and the mailbox that receives
//!   requests to it.
//! - [`engine`]: the algorithms. The only functions of the kernel that it calls are allocations.
//! - [`ops`]: the operations sets, one for each kind of address space.
//! - [`mm`]: safe wrappers of the memory management functions of the kernel.
//!
//! [`trace`] emits trace events, and [`debugfs`] shows the state of all contexts as JSON.
//!
//! Other modules use the crate to create a [`Kdamond`](kdamond::Kdamond) ([`kdamond::new`]), start
//! it with [`Params`](kdamond::Params), send requests to it, and drop it. A module that consists of
//! such a kdamond and of module parameters implements [`Service`](service::Service) and
//! uses [`service_module!`](crate::service_module!). A module can also define the memory to
//! monitor, with an [`AddressSpace`](ops::AddressSpace). `samples/` contains complete modules.

mod cast;
pub mod debugfs;
pub mod engine;
mod errno;
mod glue;
pub mod kdamond;
pub mod mm;
pub mod ops;
mod panic_free;
mod series;
pub mod service;
pub mod sysfs;
pub mod trace;

pub use glue::sort::sort;

use kernel::{
    prelude::*,
    str::CStr, //
};

/// Bindings of the items in `bindings_allowlist`, which the kernel crate has no bindings of.
#[allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
mod bindings {
    include!(env!("DAMON_BINDINGS"));
}

// The name of the module, and of everything that the kernel shows of it, is that of the in-tree
// DAMON. A kernel with the in-tree DAMON needs another name, so that both can be used side by side.
#[cfg(not(CONFIG_DAMON))]
module! {
    type: DamonModule,
    name: "damon",
    authors: ["The damon-rs developers"],
    description: "Data Access MONitor",
    license: "GPL",
}

#[cfg(CONFIG_DAMON)]
module! {
    type: DamonModule,
    name: "damon_rs",
    authors: ["The damon-rs developers"],
    description: "Data Access MONitor",
    license: "GPL",
}

/// The name of the module in sysfs and in the trace events: `damon`, or `damon_rs` on a kernel with
/// the in-tree DAMON.
pub const NAME: &CStr = if cfg!(CONFIG_DAMON) {
    c"damon_rs"
} else {
    c"damon"
};

/// The loaded module. The fields are dropped in this order: no kdamond can be created for other
/// modules any more, the status file is removed, the sysfs directories are removed with their
/// kdamonds, and the memory notifier is unregistered.
struct DamonModule {
    _shared: kdamond::Shared,
    _status: debugfs::Status,
    _tree: sysfs::Tree,
    _memory: mm::Watch,
}

impl kernel::Module for DamonModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        mm::symbols::resolve()?;
        let memory = mm::Watch::new()?;
        ops::announce();
        let registry = kdamond::Registry::new()?;
        let tree = sysfs::Tree::new(&registry)?;
        let status = debugfs::Status::new(&registry)?;
        Ok(Self {
            _shared: kdamond::Shared::new(&registry)?,
            _status: status,
            _tree: tree,
            _memory: memory,
        })
    }
}
