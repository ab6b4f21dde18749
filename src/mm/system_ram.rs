// SPDX-License-Identifier: GPL-2.0

//! Where in the physical address space memory is.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use super::symbols;
use core::ffi::c_void;
use kernel::{
    bindings as c,
    ffi::c_int, //
};

/// The first and the last byte of memory that was seen.
struct Seen(Option<(u64, u64)>);

/// # Safety
///
/// To be called by `walk_system_ram_res` only, with a pointer to a `Seen`.
unsafe extern "C" fn see(resource: *mut c::resource, seen: *mut c_void) -> c_int {
    // SAFETY: This is the pointer that was handed to the walk, to a value that nobody else uses
    // meanwhile.
    let seen = unsafe { &mut *seen.cast::<Seen>() };
    // SAFETY: The walk hands over a resource that is there until we return.
    let (start, end) = unsafe { ((*resource).start, (*resource).end) };
    let first = seen.0.map_or(start, |(first, _)| first);
    seen.0 = Some((first, end));
    0
}

/// The addresses from the first byte of memory to behind the last; what is in between need not all be
/// memory. `None` if the kernel does not tell.
///
/// Sleeps until nobody changes the map of addresses.
pub fn system_ram() -> Option<(u64, u64)> {
    let mut seen = Seen(None);
    let calls = symbols::system_ram()?;
    // SAFETY: `see` is called back with a pointer to `seen`, before this returns.
    unsafe { calls.walk_system_ram_res(0, u64::MAX, (&raw mut seen).cast(), Some(see)) };
    seen.0.map(|(first, last)| (first, last.saturating_add(1)))
}
