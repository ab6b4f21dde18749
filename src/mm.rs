// SPDX-License-Identifier: GPL-2.0

//! Memory management: what DAMON needs of the kernel's, behind types that cannot be misused.
//!
//! A process is named by a [`Pid`]. While it has memory, [`Pid::mm`] gives its address space as the
//! kernel crate's `MmWithUser`, whose existence proves that the page tables are there. A [`Cursor`]
//! reads accessed bits in them, and `areas` lists what is mapped.
//!
//! Physical memory is a matter of [`Folio`]s, to each of which one holds a reference. [`Folios`] looks
//! them up by the numbers of pages, and the [`ReverseMap`] finds the accessed bits of all that maps
//! one.
//!
//! Nearly all unsafe code of the module lives below this file.

mod advice;
mod areas;
mod attributes;
pub(crate) mod debugfs;
mod folio;
mod folios;
mod hotplug;
mod isolated;
pub(crate) mod log;
mod memcg;
pub(crate) mod metrics;
#[cfg(CONFIG_MIGRATION)]
mod migrate;
#[cfg(not(CONFIG_MIGRATION))]
#[path = "mm/no_migrate.rs"]
mod migrate;
mod node;
mod notifiers;
mod page_table;
mod pid;
mod reclaim;
mod rmap;
mod sections;
pub(crate) mod symbols;
mod system_ram;
pub(crate) mod tracepoints;

pub(crate) use advice::{
    advise,
    can_advise,
    Advice, //
};
pub(crate) use areas::areas;
pub(crate) use attributes::FolioAttributes;
pub(crate) use folio::{
    Folio,
    FolioId,
    HAS_IDLE_FLAG, //
};
pub(crate) use folios::Folios;
pub use hotplug::Watch;
pub(crate) use memcg::memcg_id;
pub(crate) use migrate::{
    can_migrate,
    MigrationList, //
};
pub use node::node_addresses;
pub(crate) use node::{
    end_of_memory,
    Node, //
};
pub(crate) use page_table::{
    Cursor,
    Entry,
    Forgotten,
    Origin, //
};
pub use pid::Pid;
pub(crate) use reclaim::{
    can_reclaim,
    Priority,
    ReclaimList, //
};
pub(crate) use rmap::{
    Mappings,
    ReverseMap, //
};
pub use system_ram::system_ram;

/// Lets other threads run if it is their turn. To be called without any lock.
pub(crate) fn give_way() {
    // SAFETY: This is a thread of its own, which may sleep.
    unsafe { crate::bindings::damon_rs_helper_cond_resched() };
}
