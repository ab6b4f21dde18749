// SPDX-License-Identifier: GPL-2.0

//! Functions and variables of the kernel that are not exported to modules.
//!
//! [`resolve`] looks them up once, when the module is loaded. They are grouped by feature: if a
//! symbol of a feature is missing, the feature is `None`, and a warning in the log names the
//! symbol. Other features are not affected.
//!
//! [`features`] has the compiler check the type of each symbol against the declaration in the
//! kernel's header.
//!
//! Functions are called by static calls (`calls.h`), not through pointers: the kernel removes the
//! ENDBR instruction from functions that it never calls through a pointer, so an indirect call of
//! them is fatal on CPUs that enforce IBT.
//!
//! `kallsyms_on_each_match_symbol()` finds the symbols. It is not exported either; registering a
//! kprobe on it yields its address. Only a symbol of vmlinux whose name no other symbol of vmlinux
//! has counts as found: another module may have a function of the same name.
//!
//! C headers: [`include/linux/kallsyms.h`](srctree/include/linux/kallsyms.h),
//! [`include/linux/kprobes.h`](srctree/include/linux/kprobes.h)

use core::{
    ffi::c_void,
    ptr::NonNull, //
};

use kernel::{
    bindings as c,
    c_str,
    ffi::{
        c_int,
        c_uint,
        c_ulong, //
    },
    fmt,
    macros::paste,
    prelude::*,
    str::CStr,
    sync::SetOnce, //
};

mod kallsyms;

use crate::bindings;
use kallsyms::Kallsyms;

/// A variable of the kernel.
///
/// # Invariants
///
/// The pointer is to a variable of type `T` that exists as long as the kernel runs.
pub(crate) struct Variable<T>(NonNull<T>);

// SAFETY: `Variable` only holds an address. Accesses through it are unsafe code of its own.
unsafe impl<T> Send for Variable<T> {}
// SAFETY: `Variable` only holds an address. Accesses through it are unsafe code of its own.
unsafe impl<T> Sync for Variable<T> {}

impl<T> Variable<T> {
    /// Returns the address of the variable.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

/// Declares features and the symbols that they need.
///
/// A member is a function with its C prototype in Rust types, or a variable with its type. The
/// compiler checks that this is the type of the declaration in the header: of a function by the
/// call in `calls.c`, of a variable by its binding.
macro_rules! features {
    ($(
        $(#[doc = $doc:literal])*
        $(#[cfg($cfg:meta)])?
        $feature:ident($field:ident, $what:literal) {
            $(fn $fn:ident($($arg:ident: $arg_type:ty),*) $(-> $ret:ty)?;)*
            $(static $static:ident: $static_type:ty;)*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            ///
            /// # Invariants
            ///
            /// Each function was found, and its static call calls it.
            $(#[cfg($cfg)])?
            pub(crate) struct $feature {
                $(pub(crate) $static: Variable<$static_type>,)*
                _found: (),
            }

            $(#[cfg($cfg)])?
            const _: () = {
                $(
                    const _: fn() -> *mut $static_type = || &raw mut declared::$static;
                )*
            };

            $(#[cfg($cfg)])?
            impl $feature {
                $(
                    /// Calls the C function of this name.
                    ///
                    /// # Safety
                    ///
                    /// The caller must meet the preconditions of the C function of this name.
                    #[inline(always)]
                    // Mirrors the C prototype.
                    #[allow(clippy::too_many_arguments)]
                    pub(crate) unsafe fn $fn(&self, $($arg: $arg_type),*) $(-> $ret)? {
                        // SAFETY: By the type invariants the static call calls the C function of
                        // this name, and the caller meets its preconditions.
                        paste!(unsafe { bindings::[<damon_rs_call_ $fn>]($($arg),*) })
                    }
                )*

                fn find(kallsyms: &Kallsyms) -> Result<Self, &'static CStr> {
                    $(
                        let name = c_str!(stringify!($fn));
                        let address = kallsyms.find(name).ok_or(name)?.addr().get();
                        // SAFETY: `address` is that of the only symbol of vmlinux with the name of
                        // the function, which is global, so the symbol is the function. The static
                        // call has its prototype.
                        paste!(unsafe { bindings::[<damon_rs_found_ $fn>](address) });
                    )*
                    // INVARIANT: The static calls of all functions were set above.
                    Ok(Self {
                        _found: (),
                        $(
                            $static: {
                                let name = c_str!(stringify!($static));
                                // INVARIANT: This is the address of the only symbol of vmlinux
                                // with the name of the variable, which is global, so the symbol is
                                // the variable. The constant above checks the type of its
                                // declaration.
                                Variable(kallsyms.find(name).ok_or(name)?.cast())
                            },
                        )*
                    })
                }
            }
        )*

        /// The features that were found.
        struct Symbols {
            $(
                $(#[cfg($cfg)])?
                $field: Option<$feature>,
            )*
        }

        impl Symbols {
            fn find(kallsyms: Option<&Kallsyms>) -> Self {
                Self {
                    $(
                        $(#[cfg($cfg)])?
                        $field: found($what, kallsyms.map($feature::find)),
                    )*
                }
            }
        }

        $(
            #[doc = concat!("Returns the symbols for ", $what, ", `None` if one was not found.")]
            $(#[cfg($cfg)])?
            pub(crate) fn $field() -> Option<&'static $feature> {
                SYMBOLS.as_ref()?.$field.as_ref()
            }
        )*
    };
}

/// The declarations of the kernel's headers: the bindings of the kernel crate and those of this
/// module.
mod declared {
    pub(super) use crate::bindings::*;
    pub(super) use kernel::bindings::*;
}

features! {
    /// The kobject of `/sys/kernel/mm`, the parent of the module's directory.
    MmDirectory(mm_directory, "the sysfs directory in /sys/kernel/mm") {
        static mm_kobj: *mut c::kobject;
    }

    /// Iteration over memcgs, to find one by its path.
    #[cfg(CONFIG_MEMCG)]
    Memcgs(memcgs, "the look-up of memcgs by path") {
        fn mem_cgroup_iter(
            root: *mut c::mem_cgroup,
            prev: *mut c::mem_cgroup,
            reclaim: *mut c::mem_cgroup_reclaim_cookie
        ) -> *mut c::mem_cgroup;
        fn mem_cgroup_iter_break(root: *mut c::mem_cgroup, prev: *mut c::mem_cgroup);
    }

    /// Memory usage of a memcg on each node.
    #[cfg(CONFIG_MEMCG)]
    MemcgUsage(memcg_usage, "quota goals on memcg memory usage") {
        fn mem_cgroup_get_from_id(id: u64) -> *mut c::mem_cgroup;
        fn mem_cgroup_flush_stats(memcg: *mut c::mem_cgroup);
        fn lruvec_page_state(lruvec: *mut c::lruvec, idx: c::node_stat_item) -> c_ulong;
    }

    /// Pressure stall information (PSI) of the whole system.
    #[cfg(CONFIG_PSI)]
    Pressure(pressure, "quota goals on memory pressure (PSI)") {
        static psi_system: c::psi_group;
    }

    /// Accessed bits of secondary MMUs, above all those of virtual machines.
    #[cfg(CONFIG_MMU_NOTIFIER)]
    SecondaryMmus(secondary_mmus, "accessed bits of secondary MMUs (virtual machines)") {
        fn __mmu_notifier_clear_young(mm: *mut c::mm_struct, start: c_ulong, end: c_ulong) -> bool;
        fn __mmu_notifier_test_young(mm: *mut c::mm_struct, address: c_ulong) -> bool;
    }

    /// Reverse mapping (rmap): the page table entries that map a folio.
    ReverseMapping(reverse_mapping, "physical address monitoring (paddr)") {
        fn rmap_walk(folio: *mut c::folio, control: *mut bindings::rmap_walk_control);
        fn rmap_walk_locked(folio: *mut c::folio, control: *mut bindings::rmap_walk_control);
        fn page_vma_mapped_walk(walk: *mut bindings::page_vma_mapped_walk) -> bool;
        fn folio_lock_anon_vma_read(
            folio: *const c::folio,
            control: *mut bindings::rmap_walk_control
        ) -> *mut c::anon_vma;
    }

    /// The address ranges of System RAM.
    SystemRam(system_ram, "the detection of System RAM") {
        fn walk_system_ram_res(
            start: u64,
            end: u64,
            arg: *mut c_void,
            func: Option<unsafe extern "C" fn(*mut c::resource, *mut c_void) -> c_int>
        ) -> c_int;
    }

    /// `madvise()` on any address space.
    #[cfg(CONFIG_ADVISE_SYSCALLS)]
    Advice(advice, "DAMOS actions by madvise() (willneed, cold, pageout, hugepage, nohugepage, collapse)") {
        fn do_madvise(
            mm: *mut c::mm_struct,
            start: c_ulong,
            len_in: usize,
            behavior: c_int
        ) -> c_int;
    }

    /// Isolation of folios from their LRU lists.
    Isolation(isolation, "DAMOS actions that isolate folios (pageout on paddr, migrate_hot, migrate_cold)") {
        fn folio_isolate_lru(folio: *mut c::folio) -> bool;
        fn folio_putback_lru(folio: *mut c::folio);
    }

    /// Reclaim of isolated folios.
    Reclaim(reclaim, "the DAMOS action pageout on paddr") {
        fn reclaim_pages(folio_list: *mut c::list_head) -> c_ulong;
    }

    /// Activation and deactivation of folios on the LRU lists.
    LruOrder(lru_order, "the DAMOS actions lru_prio and lru_deprio") {
        fn folio_activate(folio: *mut c::folio);
        fn folio_deactivate(folio: *mut c::folio);
    }

    /// Migration of isolated folios.
    #[cfg(CONFIG_MIGRATION)]
    Migration(migration, "the DAMOS actions migrate_hot and migrate_cold") {
        fn migrate_pages(
            l: *mut c::list_head,
            new: bindings::new_folio_t,
            free: bindings::free_folio_t,
            private: c_ulong,
            mode: c::migrate_mode,
            reason: bindings::damon_rs_migrate_reason,
            ret_succeeded: *mut c_uint
        ) -> c_int;
    }

    /// Page tables of hugetlbfs.
    #[cfg(CONFIG_HUGETLB_PAGE)]
    HugeTlb(hugetlb, "monitoring of hugetlb memory (vaddr)") {
        fn hugetlb_vma_lock_read(vma: *mut c::vm_area_struct);
        fn hugetlb_vma_unlock_read(vma: *mut c::vm_area_struct);
        fn huge_pte_offset(mm: *mut c::mm_struct, addr: c_ulong, size: c_ulong) -> *mut c::pte_t;
    }
}

/// Returns the kobject of `/sys/kernel/mm`, which exists as long as the kernel runs. `None` if
/// `mm_kobj` was not found.
pub(crate) fn mm_kobj() -> Option<NonNull<c::kobject>> {
    // SAFETY: The kernel writes the variable once, during boot and before it loads modules, so this
    // read does not race.
    NonNull::new(unsafe { mm_directory()?.mm_kobj.as_ptr().read() })
}

static SYMBOLS: SetOnce<Symbols> = SetOnce::new();

/// Looks up all symbols. Must be called once, when the module is loaded, before any feature is
/// used. Sleeps.
///
/// Fails with `ENOMEM` only. A symbol that is missing disables the features that need it.
pub(crate) fn resolve() -> Result {
    let kallsyms = match Kallsyms::locate() {
        Ok(kallsyms) => Some(kallsyms),
        Err(ENOMEM) => return Err(ENOMEM),
        Err(e) => {
            pr_warn!("kallsyms_on_each_match_symbol() not found ({e:?})\n");
            None
        }
    };
    SYMBOLS.populate(Symbols::find(kallsyms.as_ref()));
    Ok(())
}

/// Logs a warning if a feature is not available.
fn found<T>(what: impl fmt::Display, outcome: Option<Result<T, &'static CStr>>) -> Option<T> {
    match outcome {
        None => {
            pr_warn!("{what}: not available, kernel symbols cannot be looked up\n");
            None
        }
        Some(Ok(feature)) => Some(feature),
        Some(Err(symbol)) => {
            pr_warn!("{what}: not available, symbol {symbol} not found\n");
            None
        }
    }
}
