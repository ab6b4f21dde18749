// SPDX-License-Identifier: GPL-2.0

//! The kernel's symbol table.

use core::{
    ffi::c_void,
    ptr::NonNull, //
};

use kernel::{
    bindings as c,
    prelude::*,
    str::CStr, //
};

use crate::bindings;

/// Access to the kernel's symbol table.
///
/// # Invariants
///
/// `kallsyms_lookup_name()` was found: calls of it are led there.
pub(super) struct Kallsyms(());

impl Kallsyms {
    /// Finds `kallsyms_lookup_name()`.
    pub(super) fn locate() -> Result<Self> {
        let inside = probe(c"kallsyms_lookup_name")?;
        let entry = inside.checked_sub(offset(inside)?).ok_or(ENOENT)?;
        // SAFETY: `entry` is where the symbol table has the beginning of the function. Nobody calls
        // it meanwhile.
        unsafe { bindings::damon_rs_found_kallsyms_lookup_name(entry) };
        // INVARIANT: It was just found.
        Ok(Self(()))
    }

    /// The address of a symbol of the kernel or of a module.
    pub(super) fn find(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: By the type invariants this calls `kallsyms_lookup_name()`, with a C string as it
        // wants.
        let address = unsafe { bindings::damon_rs_call_kallsyms_lookup_name(name.as_char_ptr()) };
        NonNull::new(core::ptr::with_exposed_provenance_mut(address))
    }
}

/// The address at which the kernel would put a kprobe on a function: behind what marks its entry as
/// the target of an indirect call, where the kernel has such marks (ENDBR). The mark is no place to
/// jump behind.
#[cfg(CONFIG_KPROBES)]
fn probe(symbol: &CStr) -> Result<usize> {
    use core::mem::MaybeUninit;

    use kernel::error::to_result;

    // SAFETY: All zeroes is how C code leaves those fields of a `struct kprobe` that it does not
    // care for.
    let probe = unsafe { MaybeUninit::<bindings::kprobe>::zeroed().assume_init() };
    let mut probe = KBox::new(probe, GFP_KERNEL)?;
    probe.symbol_name = symbol.as_char_ptr();
    // Never armed: the function's code is not touched.
    probe.flags = bindings::KPROBE_FLAG_DISABLED;
    // SAFETY: The kprobe is filled in, and stays in its box until it is unregistered.
    to_result(unsafe { bindings::register_kprobe(&mut *probe) })?;
    let address = probe.addr.addr();
    // SAFETY: It is registered.
    unsafe { bindings::unregister_kprobe(&mut *probe) };
    Ok(address)
}

#[cfg(not(CONFIG_KPROBES))]
fn probe(_symbol: &CStr) -> Result<usize> {
    Err(ENOTSUPP)
}

/// How far an address is behind the beginning of the function that it is in.
fn offset(address: usize) -> Result<usize> {
    // More than KSYM_SYMBOL_LEN: twice the longest name, and room for numbers.
    let mut text = KVec::with_capacity(2048, GFP_KERNEL)?;
    while text.push_within_capacity(0u8).is_ok() {}
    // SAFETY: The buffer has room for KSYM_SYMBOL_LEN bytes. Any address may be asked for.
    unsafe { c::sprint_symbol(text.as_mut_ptr().cast(), address) };
    parse_offset(&text).ok_or(ENOENT)
}

/// The offset in what the kernel prints for an address: `name+0x4/0x90`, whatever follows.
fn parse_offset(text: &[u8]) -> Option<usize> {
    // By hand: as far as the compiler can tell, what the core library has for it may panic.
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
    use super::parse_offset;

    #[test]
    fn offset_of_an_address() {
        assert_eq!(parse_offset(b"kallsyms_lookup_name+0x4/0x90"), Some(4));
        assert_eq!(parse_offset(b"kallsyms_lookup_name+0x0/0x90"), Some(0));
        assert_eq!(parse_offset(b"f+0x1f0/0x200 [module]"), Some(0x1f0));
        // What is printed for an address that is in no function.
        assert_eq!(parse_offset(b"0xffffffff81000000"), None);
        assert_eq!(parse_offset(b"f+0x1"), None);
        assert_eq!(parse_offset(b"f+0x1ffffffffffffffff/0x1"), None);
        assert_eq!(parse_offset(b""), None);
    }
}
