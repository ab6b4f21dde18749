// SPDX-License-Identifier: GPL-2.0

//! Memory management: safe abstractions of the kernel functions that DAMON needs.
//!
//! A [`Pid`] identifies a process. [`Pid::mm`] returns its address space as the `MmWithUser` of the
//! kernel crate, which guarantees that `mm_users` is not zero and that the page tables exist. A
//! [`Cursor`] tests and clears accessed bits in these page tables, and `vmas` iterates over the
//! VMAs.
//!
//! A [`Folio`] owns a reference to a folio of physical memory. [`Folios`] looks folios up by PFN,
//! and the [`ReverseMap`] tests and clears the accessed bits of all mappings of a folio.
//!
//! Nearly all unsafe code of the module is in this folder.

mod advice;
mod attributes;
mod folio;
mod folio_flags;
mod folios;
mod hotplug;
mod isolated;
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
mod record_id;
mod rmap;
mod sections;
pub(crate) mod symbols;
mod system_ram;
mod vmas;

pub(crate) use advice::{
    advise,
    can_advise,
    Advice, //
};
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
    Aged,
    Cursor,
    Entry,
    Origin, //
};
pub use pid::Pid;
pub(crate) use reclaim::{
    can_reclaim,
    Priority,
    ReclaimList, //
};
pub(crate) use record_id::RecordId;
pub(crate) use rmap::{
    Mappings,
    ReverseMap, //
};
pub use system_ram::system_ram;
pub(crate) use vmas::vmas;

/// Calls `cond_resched()`. The caller must be in process context and must hold no lock.
pub(crate) fn cond_resched() {
    // SAFETY: The callers run on a kdamond, in process context, and have released their locks and
    // left their RCU read-side critical sections.
    unsafe { crate::bindings::damon_rs_helper_cond_resched() };
}
