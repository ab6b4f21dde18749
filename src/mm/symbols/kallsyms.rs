// SPDX-License-Identifier: GPL-2.0

//! Look-up of kernel symbols by name.

use core::{
    ffi::c_void,
    ptr::NonNull, //
};

use kernel::{
    bindings as c,
    ffi::{
        c_int,
        c_ulong, //
    },
    prelude::*,
    str::CStr, //
};

use crate::bindings;

/// Access to `kallsyms_on_each_match_symbol()`.
///
/// # Invariants
///
/// The static call `damon_rs_call_kallsyms_on_each_match_symbol()` calls the function of this name.
pub(super) struct Kallsyms(());

impl Kallsyms {
    /// Finds `kallsyms_on_each_match_symbol()`. Fails with `ENOMEM`, or with another error if it
    /// was not found. Sleeps.
    pub(super) fn locate() -> Result<Self> {
        let inside = probe(c"kallsyms_on_each_match_symbol")?;
        let entry = inside.checked_sub(offset(inside)?).ok_or(ENOENT)?;
        // SAFETY: `entry` is the address of `kallsyms_on_each_match_symbol()`: the kernel has
        // resolved that name for the kprobe, to a function of vmlinux as `offset()` has checked,
        // which has also returned the distance from its entry. vmlinux has one function of this
        // name, which is global. The static call has the prototype of `linux/kallsyms.h`.
        unsafe { bindings::damon_rs_found_kallsyms_on_each_match_symbol(entry) };
        // INVARIANT: The static call was just set to the address of the function.
        Ok(Self(()))
    }

    /// Returns the address of the symbol of vmlinux with this name. `None` if there is none, or if
    /// several have this name at different addresses. Symbols of modules are not found. Sleeps.
    pub(super) fn find(&self, name: &CStr) -> Option<NonNull<c_void>> {
        let mut matches = Matches::None;
        // SAFETY: By the type invariants the static call calls `kallsyms_on_each_match_symbol()`,
        // which only visits symbols of vmlinux. `name` is a C string and `matches` a `Matches`,
        // both valid during the call. The function may sleep, and so may this one.
        unsafe {
            bindings::damon_rs_call_kallsyms_on_each_match_symbol(
                Some(add_match),
                name.as_char_ptr(),
                core::ptr::from_mut(&mut matches).cast(),
            )
        };
        match matches {
            Matches::One(address) => NonNull::new(core::ptr::with_exposed_provenance_mut(address)),
            Matches::None | Matches::Several => None,
        }
    }
}

/// The symbols with a name.
enum Matches {
    None,
    /// All are at this address.
    One(usize),
    Several,
}

/// Adds a symbol to the [`Matches`] that `data` points to. Called by
/// `kallsyms_on_each_match_symbol()`. Returns 0, to continue.
///
/// # Safety
///
/// `data` must point to a `Matches` that is not accessed otherwise during the call.
unsafe extern "C" fn add_match(data: *mut c_void, address: c_ulong) -> c_int {
    // SAFETY: By the safety requirements `data` points to a `Matches` that is not accessed
    // otherwise.
    let matches = unsafe { &mut *data.cast::<Matches>() };
    *matches = match *matches {
        Matches::None => Matches::One(address),
        Matches::One(other) if other == address => Matches::One(address),
        _ => Matches::Several,
    };
    0
}

/// Returns the address at which the kernel places a kprobe on a function: its entry, or the
/// instruction after the ENDBR at its entry if it has one. A static call has to target the entry
/// itself.
///
/// Fails if the kernel has no such function, and with `ENOMEM`. Sleeps.
#[cfg(CONFIG_KPROBES)]
fn probe(symbol: &CStr) -> Result<usize> {
    use core::mem::MaybeUninit;

    use kernel::error::to_result;

    // SAFETY: Zero is a valid value for each field of `struct kprobe`: an integer, a raw pointer,
    // an optional function pointer or a structure of these.
    let probe = unsafe { MaybeUninit::<bindings::kprobe>::zeroed().assume_init() };
    let mut probe = KBox::new(probe, GFP_KERNEL)?;
    probe.symbol_name = symbol.as_char_ptr();
    // The kprobe is never armed, so the code of the function is not modified.
    probe.flags = bindings::KPROBE_FLAG_DISABLED;
    // SAFETY: The kprobe names a symbol by a C string, its other fields are zero as in C code, and
    // it stays at the same address until it is unregistered.
    to_result(unsafe { bindings::register_kprobe(&mut *probe) })?;
    let address = probe.addr.addr();
    // SAFETY: The kprobe was registered above, once.
    unsafe { bindings::unregister_kprobe(&mut *probe) };
    Ok(address)
}

#[cfg(not(CONFIG_KPROBES))]
fn probe(_symbol: &CStr) -> Result<usize> {
    Err(ENOTSUPP)
}

/// Returns the offset of an address in the function of vmlinux that contains it. Fails with
/// `ENOENT` if there is none, and with `ENOMEM`.
fn offset(address: usize) -> Result<usize> {
    // More than KSYM_SYMBOL_LEN, which is twice the length of the longest name plus room for
    // numbers.
    let mut text = KVec::with_capacity(2048, GFP_KERNEL)?;
    while text.push_within_capacity(0u8).is_ok() {}
    // SAFETY: The function accepts any address and writes at most KSYM_SYMBOL_LEN bytes, which the
    // buffer has room for.
    unsafe { c::sprint_symbol(text.as_mut_ptr().cast(), address) };
    parse_offset(&text).ok_or(ENOENT)
}

/// Parses the offset in the output of `sprint_symbol()`, for example `name+0x4/0x90`. Zero bytes
/// may follow. `None` for a function of a module, whose name follows in brackets.
fn parse_offset(text: &[u8]) -> Option<usize> {
    if text.contains(&b'[') {
        return None;
    }
    // The number is parsed by hand because the compiler cannot prove that the parser of the core
    // library does not panic.
    let mut text = text.iter();
    text.find(|byte| **byte == b'+')?;
    let mut offset = 0_usize;
    for byte in text.as_slice().strip_prefix(b"0x")? {
        if *byte == b'/' {
            return Some(offset);
        }
        let digit = usize::try_from(char::from(*byte).to_digit(16)?).ok()?;
        offset = offset.checked_mul(16)?.checked_add(digit)?;
    }
    None
}

#[kunit_tests(damon_rs_mm_kallsyms)]
mod tests {
    use super::*;

    #[test]
    fn only_the_symbol_of_vmlinux_of_that_name() -> Result {
        let kallsyms = Kallsyms::locate()?;
        assert!(kallsyms.find(c"rmap_walk").is_some());
        assert!(kallsyms.find(c"rmap_walk_of_no_kernel").is_none());
        // This module has it, and no other code.
        assert!(kallsyms.find(c"damon_rs_call_rmap_walk").is_none());
        // Many file systems have a static function of this name.
        assert!(kallsyms.find(c"init_once").is_none());
        Ok(())
    }

    #[test]
    fn offset_of_an_address() {
        assert_eq!(parse_offset(b"kallsyms_lookup_name+0x4/0x90"), Some(4));
        assert_eq!(parse_offset(b"kallsyms_lookup_name+0x0/0x90"), Some(0));
        assert_eq!(parse_offset(b"f+0x1f0/0x200\0"), Some(0x1f0));
        assert_eq!(parse_offset(b"f+0x1f0/0x200 [module]"), None);
        // The output for an address that is in no function.
        assert_eq!(parse_offset(b"0xffffffff81000000"), None);
        assert_eq!(parse_offset(b"f+0x1"), None);
        assert_eq!(parse_offset(b"f+0x1ffffffffffffffff/0x1"), None);
        assert_eq!(parse_offset(b""), None);
    }
}
