// SPDX-License-Identifier: GPL-2.0

//! Functions and variables of the kernel that it does not export to modules.
//!
//! They are found once, when the module is loaded, and kept by feature: a feature whose symbols are
//! not all there is `None`, which one line of the log says. Nothing else of the module fails for
//! it.
//!
//! The type of each symbol is what the kernel's own header declares: [`features`] has the compiler
//! compare the two.
//!
//! A function is not called by its address, but by a static call (`calls.h`): what the kernel itself
//! never calls by address has no mark that this is allowed, which is fatal where the processor looks
//! for one (IBT).
//!
//! `kallsyms_lookup_name()` finds them. It is not exported either, but the address of any function
//! is known to who registers a kprobe on it.
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
/// The pointer is to a variable of type `T` that lives as long as the kernel runs.
pub(crate) struct Variable<T>(NonNull<T>);

// SAFETY: This is no more than an address; who uses it must obey the rules of the variable.
unsafe impl<T> Send for Variable<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Variable<T> {}

impl<T> Variable<T> {
    /// The variable's address.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

/// Declares features by the symbols that they need.
///
/// A member is a function with its C prototype in Rust's terms, or a variable with its type. That
/// it is the type of the header's declaration is checked at compile time: the call in `calls.c`, or
/// the binding of the variable, must fit it.
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
            /// The functions were found: calls of them are led to them.
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
                    /// The function of this name.
                    ///
                    /// # Safety
                    ///
                    /// What it wants.
                    #[inline(always)]
                    // As many as it has.
                    #[allow(clippy::too_many_arguments)]
                    pub(crate) unsafe fn $fn(&self, $($arg: $arg_type),*) $(-> $ret)? {
                        // SAFETY: The caller promises what the function wants, and by the type
                        // invariants the call leads there.
                        paste!(unsafe { bindings::[<damon_rs_call_ $fn>]($($arg),*) })
                    }
                )*

                fn find(kallsyms: &Kallsyms) -> Result<Self, &'static CStr> {
                    $(
                        let name = c_str!(stringify!($fn));
                        let address = kallsyms.find(name).ok_or(name)?.addr().get();
                        // SAFETY: This is the entry of the function of that name, and nobody calls it
                        // meanwhile.
                        paste!(unsafe { bindings::[<damon_rs_found_ $fn>](address) });
                    )*
                    // INVARIANT: All were just found.
                    Ok(Self {
                        _found: (),
                        $(
                            $static: {
                                let name = c_str!(stringify!($static));
                                // INVARIANT: This is the address of the variable that the header
                                // declares, of this type: the constant above would not compile
                                // otherwise.
                                Variable(kallsyms.find(name).ok_or(name)?.cast())
                            },
                        )*
                    })
                }
            }
        )*

        /// What was found.
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
            #[doc = concat!("What ", $what, " needs, if the kernel has it.")]
            $(#[cfg($cfg)])?
            pub(crate) fn $field() -> Option<&'static $feature> {
                SYMBOLS.as_ref()?.$field.as_ref()
            }
        )*
    };
}

/// What the kernel's headers declare: the bindings of the kernel crate, and ours.
mod declared {
    pub(super) use crate::bindings::*;
    pub(super) use kernel::bindings::*;
}

features! {
    /// The place of the module's directory in sysfs, `/sys/kernel/mm`.
    MmDirectory(mm_directory, "the directory in /sys/kernel/mm") {
        static mm_kobj: *mut c::kobject;
    }

    /// Memory control groups, to find one by its path.
    #[cfg(CONFIG_MEMCG)]
    Memcgs(memcgs, "finding memory control groups") {
        fn mem_cgroup_iter(
            root: *mut c::mem_cgroup,
            prev: *mut c::mem_cgroup,
            reclaim: *mut c::mem_cgroup_reclaim_cookie
        ) -> *mut c::mem_cgroup;
        fn mem_cgroup_iter_break(root: *mut c::mem_cgroup, prev: *mut c::mem_cgroup);
    }

    /// How much memory groups use, and where.
    #[cfg(CONFIG_MEMCG)]
    MemcgUsage(memcg_usage, "goals on the memory that control groups use") {
        fn mem_cgroup_get_from_id(id: u64) -> *mut c::mem_cgroup;
        fn mem_cgroup_flush_stats(memcg: *mut c::mem_cgroup);
        fn lruvec_page_state(lruvec: *mut c::lruvec, idx: c::node_stat_item) -> c_ulong;
    }

    /// Time that tasks have waited for memory.
    #[cfg(CONFIG_PSI)]
    Pressure(pressure, "goals on memory pressure") {
        static psi_system: c::psi_group;
    }

    /// Accesses that do not go through the process's own page table, above all those of virtual
    /// machines.
    #[cfg(CONFIG_MMU_NOTIFIER)]
    SecondaryMmus(secondary_mmus, "seeing accesses by virtual machines") {
        fn __mmu_notifier_clear_young(mm: *mut c::mm_struct, start: c_ulong, end: c_ulong) -> bool;
        fn __mmu_notifier_test_young(mm: *mut c::mm_struct, address: c_ulong) -> bool;
    }

    /// From memory to what maps it.
    ReverseMapping(reverse_mapping, "monitoring of physical addresses (paddr)") {
        fn rmap_walk(folio: *mut c::folio, control: *mut bindings::rmap_walk_control);
        fn rmap_walk_locked(folio: *mut c::folio, control: *mut bindings::rmap_walk_control);
        fn page_vma_mapped_walk(walk: *mut bindings::page_vma_mapped_walk) -> bool;
        fn folio_lock_anon_vma_read(
            folio: *const c::folio,
            control: *mut bindings::rmap_walk_control
        ) -> *mut c::anon_vma;
    }

    /// Which addresses are memory.
    SystemRam(system_ram, "finding out where memory is") {
        fn walk_system_ram_res(
            start: u64,
            end: u64,
            arg: *mut c_void,
            func: Option<unsafe extern "C" fn(*mut c::resource, *mut c_void) -> c_int>
        ) -> c_int;
    }

    /// `madvise()` for any process.
    #[cfg(CONFIG_ADVISE_SYSCALLS)]
    Advice(advice, "actions of schemes on virtual addresses (willneed, cold, pageout, hugepage, nohugepage, collapse)") {
        fn do_madvise(
            mm: *mut c::mm_struct,
            start: c_ulong,
            len_in: usize,
            behavior: c_int
        ) -> c_int;
    }

    /// Taking folios off reclaim's lists.
    Isolation(isolation, "actions of schemes that reclaim or move physical memory") {
        fn folio_isolate_lru(folio: *mut c::folio) -> bool;
        fn folio_putback_lru(folio: *mut c::folio);
    }

    /// Reclaiming folios that were taken off the lists.
    Reclaim(reclaim, "the action pageout on physical addresses") {
        fn reclaim_pages(folio_list: *mut c::list_head) -> c_ulong;
    }

    /// Reordering reclaim's lists.
    LruOrder(lru_order, "the actions lru_prio and lru_deprio") {
        fn folio_activate(folio: *mut c::folio);
        fn folio_deactivate(folio: *mut c::folio);
    }

    /// Moving folios that were taken off the lists.
    #[cfg(CONFIG_MIGRATION)]
    Migration(migration, "the actions migrate_hot and migrate_cold") {
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

    /// The page tables of hugetlbfs.
    #[cfg(CONFIG_HUGETLB_PAGE)]
    HugeTlb(hugetlb, "seeing accesses to hugetlb memory by virtual address") {
        fn hugetlb_vma_lock_read(vma: *mut c::vm_area_struct);
        fn hugetlb_vma_unlock_read(vma: *mut c::vm_area_struct);
        fn huge_pte_offset(mm: *mut c::mm_struct, addr: c_ulong, size: c_ulong) -> *mut c::pte_t;
    }
}

/// The kobject of `/sys/kernel/mm`, which the kernel makes when it boots and never removes.
pub(crate) fn mm_kobj() -> Option<NonNull<c::kobject>> {
    // SAFETY: The variable is written once, when the kernel boots.
    NonNull::new(unsafe { mm_directory()?.mm_kobj.as_ptr().read() })
}

static SYMBOLS: SetOnce<Symbols> = SetOnce::new();

/// Looks all symbols up. To be called when the module is loaded, before anything asks for a
/// feature.
///
/// Fails only for lack of memory: what the kernel does not have is missed later, by the features
/// that want it.
pub(crate) fn resolve() -> Result {
    let kallsyms = match Kallsyms::locate() {
        Ok(kallsyms) => Some(kallsyms),
        Err(ENOMEM) => return Err(ENOMEM),
        Err(e) => {
            pr_warn!("kallsyms_lookup_name() was not found ({e:?})\n");
            None
        }
    };
    SYMBOLS.populate(Symbols::find(kallsyms.as_ref()));
    Ok(())
}

/// Takes note of a feature that is not to be had.
fn found<T>(what: impl fmt::Display, outcome: Option<Result<T, &'static CStr>>) -> Option<T> {
    match outcome {
        None => {
            pr_warn!("no {what}: symbols of the kernel cannot be looked up\n");
            None
        }
        Some(Ok(feature)) => Some(feature),
        Some(Err(symbol)) => {
            pr_warn!("no {what}: the kernel has no {symbol}\n");
            None
        }
    }
}
