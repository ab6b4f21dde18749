// SPDX-License-Identifier: GPL-2.0

//! Debug messages that can be switched on at run time (`/proc/dynamic_debug/control`).
//!
//! The kernel crate's `pr_debug!` knows no dynamic debug: it prints in debug builds only. What is
//! wrong with a user's input has to be found out on any kernel, and must not fill anybody's log.

use crate::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

/// A line of text; what is longer is cut off.
struct Line {
    text: [u8; LINE],
    used: usize,
}

/// As many bytes as `damon_rs_debug()` takes.
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

/// Writes one message. Use [`debug!`](crate::debug).
pub(crate) fn debug(message: fmt::Arguments<'_>) {
    let mut line = Line {
        text: [0; LINE],
        used: 0,
    };
    // `write_str` above does not fail.
    if fmt::Write::write_fmt(&mut line, message).is_ok() {
        // SAFETY: May be called in any context. Reads no more than the array, and it is that long.
        unsafe { bindings::damon_rs_debug(line.text.as_ptr()) };
    }
}

/// What can fail, and then for a reason that the error alone does not tell.
pub(crate) trait Because {
    /// Writes the reason as a debug message if it has failed.
    fn because(self, reason: &str) -> Self;
}

impl<T> Because for Result<T> {
    fn because(self, reason: &str) -> Self {
        if self.is_err() {
            debug(fmt!("{reason}"));
        }
        self
    }
}

/// Writes a debug message, without the newline.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => {
        $crate::mm::log::debug(::kernel::prelude::fmt!($($arg)*))
    };
}
