// SPDX-License-Identifier: GPL-2.0

//! Debug messages that can be enabled at run time (`/proc/dynamic_debug/control`).
//!
//! `pr_debug!` of the kernel crate does not support dynamic debug: it prints in debug builds only.
//! Users have to be able to find out on any kernel why their input was rejected, but such messages
//! must not fill the log.
//!
//! ```ignore
//! let attrs = Attrs::try_from(params).because("monitoring_attrs: aggr_us is below sample_us")?;
//! debug!("{nr} regions are more than max_nr_regions");
//! ```

use crate::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

/// A line of text. Text that does not fit is cut off.
struct Line {
    text: [u8; LINE],
    used: usize,
}

/// The number of bytes that `damon_rs_debug()` reads.
const LINE: usize = bindings::DAMON_RS_DEBUG_LINE as usize;

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if let Some(rest) = self.text.get_mut(self.used..) {
            for (to, from) in rest.iter_mut().zip(s.bytes()) {
                *to = from;
            }
        }
        self.used = self.used.saturating_add(s.len()).min(LINE);
        Ok(())
    }
}

/// Writes a debug message. Called by [`debug!`](crate::debug).
pub(crate) fn debug(message: fmt::Arguments<'_>) {
    let mut line = Line {
        text: [0; LINE],
        used: 0,
    };
    // `write_str()` above never fails.
    if fmt::Write::write_fmt(&mut line, message).is_ok() {
        // SAFETY: The function reads at most `LINE` bytes, which the array has. It may be called in
        // any context.
        unsafe { bindings::damon_rs_debug(line.text.as_ptr()) };
    }
}

/// Adds a reason to an error.
pub(crate) trait Because {
    /// Writes `reason` as a debug message if this is an error, but not for a system call that a
    /// signal ends.
    fn because(self, reason: &str) -> Self;
}

impl<T> Because for Result<T> {
    fn because(self, reason: &str) -> Self {
        if matches!(self, Err(err) if err != EINTR && err != ERESTARTNOINTR) {
            debug(fmt!("{reason}"));
        }
        self
    }
}

/// Writes a debug message. The text has no newline at its end.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => {
        $crate::glue::log::debug(::kernel::prelude::fmt!($($arg)*))
    };
}
