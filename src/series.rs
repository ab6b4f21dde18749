// SPDX-License-Identifier: GPL-2.0

//! Differences of the in-tree DAMON between kernel series. The module follows the series that it is
//! built for.

use crate::bindings;

/// Whether some regions are split where there are too many to split all of them.
pub(crate) const SPLIT_IN_PART: bool = bindings::DAMON_RS_SINCE_7_3;

/// Whether a start rejects the parameters that a commit rejects.
pub(crate) const START_AS_COMMIT: bool = bindings::DAMON_RS_SINCE_7_3;

/// Whether `off` succeeds if the kdamond has ended already.
pub(crate) const OFF_AFTER_END: bool = bindings::DAMON_RS_SINCE_7_3;
