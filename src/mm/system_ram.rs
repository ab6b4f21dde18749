// SPDX-License-Identifier: GPL-2.0

//! The address range of System RAM.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use super::symbols;
use core::ffi::c_void;
use kernel::{
    bindings as c,
    ffi::c_int, //
};

/// The first and the last byte of System RAM in the resources that were found so far.
struct Seen(Option<(u64, u64)>);

/// # Safety
///
/// `resource` must point to a resource, and `seen` to a `Seen` that is not used otherwise during
/// the call.
unsafe extern "C" fn see(resource: *mut c::resource, seen: *mut c_void) -> c_int {
    // SAFETY: By the safety requirements `seen` points to a `Seen` that is not used otherwise.
    let seen = unsafe { &mut *seen.cast::<Seen>() };
    // SAFETY: By the safety requirements `resource` is valid.
    let (start, end) = unsafe { ((*resource).start, (*resource).end) };
    let first = seen.0.map_or(start, |(first, _)| first);
    seen.0 = Some((first, end));
    0
}

/// Returns the range of physical addresses from the first byte of System RAM to the last, as start
/// and exclusive end. The range may have holes. `None` if there is no System RAM, or if the kernel
/// function for it was not found.
pub fn system_ram() -> Option<(u64, u64)> {
    let mut seen = Seen(None);
    let calls = symbols::system_ram()?;
    // SAFETY: `see()` is called only before the function returns, with a resource and with the
    // pointer to `seen`, which is not used meanwhile.
    unsafe { calls.walk_system_ram_res(0, u64::MAX, (&raw mut seen).cast(), Some(see)) };
    seen.0.map(|(first, last)| (first, last.saturating_add(1)))
}
