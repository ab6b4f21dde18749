// SPDX-License-Identifier: GPL-2.0

//! DAMON (Data Access MONitor) as a loadable module.
//!
//! The layers, in the order in which data flows:
//!
//! - [`sysfs`]: what the user wants, plain values in a tree of directories.
//! - [`kdamond`]: the thread that owns a context, its schedule, and the mailbox by which it is
//!   asked for anything.
//! - [`engine`]: the algorithms. Calls nothing of the kernel but allocation.
//! - [`ops`]: what an address space can do.
//! - [`mm`]: safe wrappers of the kernel's memory management.
//!
//! [`trace`] and [`debugfs`] are ways out: events, and the state of everything as JSON.
//!
//! Other modules use it as a crate: they make a [`Kdamond`](kdamond::Kdamond) ([`kdamond::new`]),
//! start it on [`Params`](kdamond::Params), ask it, and drop it. A module that is no more than such
//! a kdamond and some parameters is a [`Service`](sysfs::parameters::Service) behind a
//! [`Switch`](sysfs::parameters::Switch). One can bring along what is to be monitored: an
//! [`AddressSpace`](ops::AddressSpace). `samples/` has whole ones.

pub mod debugfs;
pub mod engine;
pub mod kdamond;
pub mod mm;
pub mod ops;
pub mod sysfs;
pub mod trace;

use kernel::{
    prelude::*,
    str::CStr, //
};

/// What `bindings_helper.h` includes and the kernel crate has no bindings of.
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

// One name for everything that the kernel shows of this module: the in-tree DAMON's where the
// kernel lacks that, another where it does not, so that both can be used side by side.
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

/// States a module that is built on this one and is no more than a
/// [`Service`](sysfs::parameters::Service): the [`Switch`](sysfs::parameters::Switch) that turns it
/// on and off, the name that the module has on a kernel without the in-tree DAMON, and the one that
/// it has beside that.
#[macro_export]
macro_rules! service_module {
    (
        $switch:ident: $service:ty,
        name: $name:tt,
        beside: $beside:tt,
        description: $text:tt $(,)?
    ) => {
        #[cfg(not(CONFIG_DAMON))]
        ::kernel::prelude::module! {
            type: ServiceModule,
            name: $name,
            authors: ["The damon-rs developers"],
            description: $text,
            license: "GPL",
        }

        #[cfg(CONFIG_DAMON)]
        ::kernel::prelude::module! {
            type: ServiceModule,
            name: $beside,
            authors: ["The damon-rs developers"],
            description: $text,
            license: "GPL",
        }

        static $switch: $crate::sysfs::parameters::Switch<$service> =
            $crate::sysfs::parameters::Switch::new($crate::this_module!());

        /// The loaded module. Dropping it ends the service.
        struct ServiceModule {
            _loaded: $crate::sysfs::parameters::Loaded<$service>,
        }

        impl ::kernel::Module for ServiceModule {
            fn init(_: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                Ok(Self {
                    _loaded: $switch.load()?,
                })
            }
        }
    };
}

/// What the module calls itself in sysfs, debugfs and the trace events.
pub const NAME: &CStr = if cfg!(CONFIG_DAMON) {
    c"damon_rs"
} else {
    c"damon"
};

/// The loaded module. Dropping it, in the order of the fields, ends everything.
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
