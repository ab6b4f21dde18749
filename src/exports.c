// SPDX-License-Identifier: GPL-2.0
/*
 * Exports the symbols of the crate to modules that use its Rust API.  Rust has
 * no equivalent of EXPORT_SYMBOL_GPL().
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
