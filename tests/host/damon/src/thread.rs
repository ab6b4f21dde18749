// SPDX-License-Identifier: GPL-2.0

//! Stand-in for `src/kdamond/thread.rs`.

pub(crate) mod bell;
